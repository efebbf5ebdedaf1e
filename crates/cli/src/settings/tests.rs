//! Keys from file and environment, and what is wrong with them.

use super::*;

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    settings.read_file(Path::new("conf/stemson.toml"), text)?;
    let environment = environment.iter().map(|(name, text)| ((*name).into(), (*text).into()));
    settings.read_environment(environment)?;
    Ok(settings)
}

#[test]
fn what_is_printed_means_the_same() {
    let default = Settings::default().render();
    let mut again = Settings::default();
    again.read_file(Path::new("stemson.toml"), &default).unwrap();
    assert_eq!(again.render(), default);
    for key in KEYS {
        assert!(default.lines().any(|l| l.starts_with(&format!("{} = ", key.name))), "{default}");
    }
}

#[test]
fn the_environment_outweighs_the_file() {
    let settings = read(
        "[server]\nhttp = \"127.0.0.1:1\"\ndrain_seconds = 3\n[limits]\nbody_mib = 2\n\
         [admin]\nartifact_roots = [\"a\", \"/b\"]\n\
         [[model]]\nname = \"m\"\npath = \"m.zip\"\n",
        &[("STEMSON_SERVER_HTTP", "127.0.0.1:2"), ("STEMSON_LIMITS_ROWS", "7"), ("HOME", "x")],
    )
    .unwrap();
    assert_eq!(settings.server.http.port(), 2);
    assert_eq!(settings.server.limits.rows_max, 7);
    assert_eq!(settings.server.limits.body_bytes_max, 2 << 20);
    assert_eq!(settings.server.drain, Duration::from_secs(3));
    let roots = [Path::new("conf/a"), Path::new("/b")];
    assert_eq!(settings.server.artifact_roots, roots);
    assert_eq!(settings.models[0].path, Path::new("conf/m.zip"));
    let settings = read(
        "data_dir = \"d\"\n[canary]\nmax_psi = 1\n",
        &[("STEMSON_CANARY_MAX_LATENCY_RATIO", "2.5")],
    )
    .unwrap();
    assert_eq!(settings.server.data_dir.as_deref(), Some(Path::new("conf/d")));
    assert_eq!(settings.server.trial.max_psi, 1.0);
    assert_eq!(settings.server.trial.max_latency_ratio, 2.5);
    let settings = read("data_dir = \"d\"\n", &[("STEMSON_DATA_DIR", "/e")]).unwrap();
    assert_eq!(settings.server.data_dir.as_deref(), Some(Path::new("/e")));
    let roots = read("", &[("STEMSON_ADMIN_ARTIFACT_ROOTS", "x,/y")]).unwrap();
    assert_eq!(roots.server.artifact_roots, [Path::new("x"), Path::new("/y")]);
}

#[test]
fn the_cache_is_said_by_file_and_environment_and_shows_no_password() {
    let settings = read(
        "[cache]\nbackend = \"redis://:geheim@r:6379/1\"\nmax_mib = 16\nmax_size = 3\n\
         [[model]]\nname = \"m\"\npath = \"m.zip\"\ncache = false\n\
         [[model]]\nname = \"n\"\npath = \"n.zip\"\ncache = true\n",
        &[("STEMSON_CACHE_TTL_SECONDS", "60"), ("STEMSON_CACHE_REDIS_MIN_COST_US", "0")],
    )
    .unwrap();
    let cache = &settings.server.cache;
    assert_eq!((cache.bytes_max, cache.max_size, cache.ttl.as_secs()), (16 << 20, 3, 60));
    assert_eq!(cache.redis_min_cost, Some(Duration::ZERO));
    assert_eq!(cache.except, ["m"]);
    let shown = settings.render();
    assert!(shown.contains("backend = \"redis://:***@r:6379/1\""), "{shown}");
    assert!(shown.contains("path = \"conf/m.zip\"\ncache = false\n"), "{shown}");
}

#[test]
fn a_model_says_what_is_its_own() {
    let own = "[[model]]\nname = \"m\"\npath = \"conf/m.zip\"\nslo_ms = 50\nweight = 3\n\
               oip_layout = \"matrix\"\noip_datatype = \"FP32\"\n";
    let settings = read(&own.replace("conf/", ""), &[]).unwrap();
    let config = settings.server.models["m"];
    assert_eq!(config.slo, Some(Duration::from_millis(50)));
    assert_eq!(config.weight.map(std::num::NonZero::get), Some(3));
    assert!(settings.render().ends_with(own), "{}", settings.render());
}

#[test]
fn mistakes_are_named() {
    for (text, environment, words) in [
        ("[server]\nhtp = 1\n", &[][..], "unknown key `htp` in [server]"),
        ("[sever]\nhttp = 1\n", &[], "did you mean `server`?"),
        ("[limits]\nzzzzzzz = 1\n", &[], "the keys here are body_mib, "),
        ("[server]\nhttp = 8080\n", &[], "http is 8080, expected an address and port"),
        ("[cache]\nbackend = \"disk\"\n", &[], "expected \"none\", \"memory\" or \"redis://"),
        ("[cache]\nredis_min_cost_us = \"never\"\n", &[], "expected \"auto\" or a whole number"),
        ("[[model]]\nname = \"a\"\npath = \"b\"\ncache = 1\n", &[], "expected true or false"),
        ("[[model]]\nname = \"a\"\npath = \"b\"\nweight = 0\n", &[], "from 1 to 1000"),
        ("[[model]]\nname = \"a\"\npath = \"b\"\nslo_ms = -1\n", &[], "1 or more"),
        (
            "[[model]]\nname = \"a\"\npath = \"b\"\noip_layout = \"table\"\n",
            &[],
            "`oip_layout` of the [[model]] a is \"table\", expected \"matrix\"",
        ),
        (
            "[[model]]\nname = \"a\"\npath = \"b\"\noip_datatype = \"fp16\"\n",
            &[],
            "expected \"FP32\" or \"FP64\"",
        ),
        ("[limits]\nrows = -1\n", &[], "rows is -1, expected a whole number"),
        ("[limits]\nbody_mib = 99999999999999999\n", &[], "expected a whole number"),
        ("[[model]]\nname = \"a\"\n", &[], "no text `path`"),
        ("[[model]]\nname = \"a\"\npth = \"b\"\n", &[], "did you mean `path`?"),
        ("[model]\nname = \"a\"\n", &[], "write `[[model]]`"),
        ("server = 1\n", &[], "unknown key `server`"),
        ("data_dir = 1\n", &[], "data_dir is 1, expected a folder"),
        ("[canary]\nmax_psi = -1\n", &[], "max_psi is -1, expected a number"),
        ("[server\n", &[], "is no TOML"),
        ("", &[("STEMSON_LIMITS_ROWS", "many")], "STEMSON_LIMITS_ROWS is \"many\", expected"),
    ] {
        let failure = format!("{:?}", read(text, environment).unwrap_err());
        assert!(failure.contains(&words.replace('"', "\\\"")), "{text}: {failure}");
    }
}
