//! `state.db`: deployments, their revisions, their events, what was configured.
//!
//! A change is one transaction. Errors are `SQLite`'s words; the store says which file.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use stemson_mojo::Digest;
use stemson_serving::{
    DeploymentState, EVENTS_MAX, Event, EventKind, KnownRevision, ModelName, RevisionState, Share,
};

/// Counts the forms that the tables ever had.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE deployment (
        name TEXT PRIMARY KEY,
        current INTEGER NOT NULL,
        previous INTEGER,
        canary INTEGER,
        canary_share REAL,
        shadow INTEGER
    ) STRICT;
    CREATE TABLE revision (
        model TEXT NOT NULL,
        number INTEGER NOT NULL,
        digest TEXT NOT NULL,
        loaded_at_ms INTEGER NOT NULL,
        loaded_by TEXT NOT NULL,
        PRIMARY KEY (model, number)
    ) STRICT;
    CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        model TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        from_number INTEGER,
        to_number INTEGER NOT NULL,
        made_by TEXT NOT NULL,
        note TEXT
    ) STRICT;
    CREATE INDEX event_by_model ON event (model, id);
    CREATE TABLE configured (
        model TEXT PRIMARY KEY,
        digest TEXT NOT NULL
    ) STRICT;
";

/// How long to wait for a reader of the file, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the database, and makes its tables if it is new.
///
/// `is_temporary`: nothing has to survive, so nothing waits for the disk.
pub(crate) fn open(path: &Path, is_temporary: bool) -> Result<Connection, String> {
    let database = Connection::open(path).map_err(said)?;
    database.busy_timeout(BUSY).map_err(said)?;
    // EXTRA: the directory is synced too when the journal is removed, which is the commit.
    let synchronous = if is_temporary { "OFF" } else { "EXTRA" };
    database.pragma_update(None, "synchronous", synchronous).map_err(said)?;
    let version: i64 =
        database.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(said)?;
    match version {
        0 => {
            let all = format!("BEGIN IMMEDIATE;{TABLES}PRAGMA user_version = {VERSION};COMMIT;");
            database.execute_batch(&all).map_err(said)?;
        }
        VERSION => {}
        newer => {
            return Err(format!(
                "its form is {newer}, this program knows {VERSION}: run the newer program that \
                 wrote it, or name another --data-dir"
            ));
        }
    }
    Ok(database)
}

/// Writes a change: all of it, or nothing.
pub(crate) fn record(
    database: &mut Connection,
    name: &ModelName,
    state: &DeploymentState,
    event: &Event,
) -> Result<(), String> {
    let name = name.as_str();
    let change = database.transaction().map_err(said)?;
    let (canary, share) = state.canary.map(|(number, share)| (number, share.ratio())).unzip();
    change
        .execute(
            "INSERT OR REPLACE INTO deployment VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                name,
                signed(state.current),
                state.previous.map(signed),
                canary.map(signed),
                share,
                state.shadow.map(signed)
            ],
        )
        .map_err(said)?;
    // A change brings one revision at most.
    if let Some(known) = state.revision(event.to) {
        change
            .execute(
                "INSERT OR REPLACE INTO revision VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    name,
                    signed(known.number),
                    known.digest.to_string(),
                    to_ms(known.loaded_at),
                    known.by
                ],
            )
            .map_err(said)?;
    }
    change
        .execute(
            "INSERT INTO event (model, at_ms, kind, from_number, to_number, made_by, note) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                name,
                to_ms(event.at),
                event.kind.as_str(),
                event.from.map(signed),
                signed(event.to),
                event.by,
                event.note
            ],
        )
        .map_err(said)?;
    change.commit().map_err(said)
}

/// Every deployment, with its newest events.
pub(crate) fn read(
    database: &Connection,
) -> Result<Vec<(ModelName, DeploymentState, Vec<Event>)>, String> {
    let mut query = database.prepare("SELECT * FROM deployment ORDER BY name").map_err(said)?;
    let rows = query
        .query_map([], |row| {
            let canary: Option<(u64, f64)> = unsigned(row, "canary")?.zip(row.get("canary_share")?);
            let canary =
                canary.and_then(|(number, ratio)| Some((number, Share::from_ratio(ratio)?)));
            let state = DeploymentState {
                known: Vec::new(),
                current: unsigned(row, "current")?.unwrap_or(0),
                previous: unsigned(row, "previous")?,
                canary,
                shadow: unsigned(row, "shadow")?,
            };
            Ok((row.get::<_, String>("name")?, state))
        })
        .map_err(said)?;
    let mut deployments = Vec::new();
    for row in rows {
        let (name, mut state) = row.map_err(said)?;
        let parsed: ModelName = name.parse().map_err(|cause| format!("deployment: {cause}"))?;
        state.known = revisions(database, &name)?;
        for at in 0..state.known.len() {
            state.known[at].state = state.state(state.known[at].number);
        }
        if state.revision(state.current).is_none() {
            return Err(format!("the current revision of {name} is missing"));
        }
        deployments.push((parsed, state, events(database, &name)?));
    }
    Ok(deployments)
}

fn revisions(database: &Connection, name: &str) -> Result<Vec<KnownRevision>, String> {
    let mut query = database
        .prepare("SELECT * FROM revision WHERE model = ?1 ORDER BY number")
        .map_err(said)?;
    let rows = query
        .query_map([name], |row| {
            let digest: String = row.get("digest")?;
            let at: i64 = row.get("loaded_at_ms")?;
            Ok((unsigned(row, "number")?, digest, at, row.get("loaded_by")?))
        })
        .map_err(said)?;
    let mut known: Vec<KnownRevision> = Vec::new();
    for row in rows {
        let (number, digest, at, by) = row.map_err(said)?;
        let number = number.unwrap_or(0);
        if number != known.len() as u64 + 1 {
            return Err(format!("revision {} of {name} is missing", known.len() + 1));
        }
        let digest = digest.parse().map_err(|cause| format!("revision {number}: {cause}"))?;
        let (loaded_at, state) = (from_ms(at), RevisionState::Retired);
        known.push(KnownRevision { number, digest, state, loaded_at, by });
    }
    Ok(known)
}

fn events(database: &Connection, name: &str) -> Result<Vec<Event>, String> {
    let mut query = database
        .prepare("SELECT * FROM event WHERE model = ?1 ORDER BY id DESC LIMIT ?2")
        .map_err(said)?;
    let rows = query
        .query_map(params![name, EVENTS_MAX as i64], |row| {
            let word: String = row.get("kind")?;
            let kind = EventKind::ALL.into_iter().find(|kind| kind.as_str() == word);
            let event = |kind| -> rusqlite::Result<Event> {
                Ok(Event {
                    at: from_ms(row.get("at_ms")?),
                    kind,
                    from: unsigned(row, "from_number")?,
                    to: unsigned(row, "to_number")?.unwrap_or(0),
                    by: row.get("made_by")?,
                    note: row.get("note")?,
                })
            };
            Ok(kind.map(event).transpose()?.ok_or(word))
        })
        .map_err(said)?;
    let mut events = Vec::new();
    for row in rows {
        let event = row.map_err(said)?;
        events.push(event.map_err(|word| format!("an event of {name} is called `{word}`"))?);
    }
    events.reverse();
    Ok(events)
}

pub(crate) fn configured(
    database: &Connection,
    name: &ModelName,
) -> Result<Option<Digest>, String> {
    let text: Option<String> = database
        .query_row("SELECT digest FROM configured WHERE model = ?1", [name.as_str()], |row| {
            row.get(0)
        })
        .optional()
        .map_err(said)?;
    text.map(|text| text.parse().map_err(|cause| format!("configured: {cause}"))).transpose()
}

pub(crate) fn set_configured(
    database: &Connection,
    name: &ModelName,
    digest: &Digest,
) -> Result<(), String> {
    database
        .execute(
            "INSERT OR REPLACE INTO configured VALUES (?1, ?2)",
            params![name.as_str(), digest.to_string()],
        )
        .map(|_| ())
        .map_err(said)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn said(cause: rusqlite::Error) -> String {
    cause.to_string()
}

/// `SQLite` has signed numbers only.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    let number: Option<i64> = row.get(column)?;
    Ok(number.and_then(|number| u64::try_from(number).ok()))
}

fn to_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn from_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        let mut database = open(&path, true).expect("a database");
        let at = from_ms(1_700_000_000_123);
        let known = |number: u64, state| KnownRevision {
            number,
            digest: Digest::of(&number.to_le_bytes()),
            state,
            loaded_at: at,
            by: "test".to_owned(),
        };
        let name: ModelName = "churn".parse().expect("a name");
        let event = |kind, from, to, note: Option<&str>| Event {
            at,
            kind,
            from,
            to,
            by: "test".to_owned(),
            note: note.map(str::to_owned),
        };
        let first = DeploymentState {
            known: vec![known(1, RevisionState::Current)],
            current: 1,
            previous: None,
            canary: None,
            shadow: None,
        };
        let share = Share::from_ratio(0.123_456).expect("a share");
        let second = DeploymentState {
            known: vec![known(1, RevisionState::Current), known(2, RevisionState::Canary)],
            canary: Some((2, share)),
            ..first.clone()
        };
        let events = [
            event(EventKind::Deploy, None, 1, None),
            event(EventKind::Canary, Some(1), 2, Some("share 0.123456")),
        ];
        record(&mut database, &name, &first, &events[0]).expect("recorded");
        record(&mut database, &name, &second, &events[1]).expect("recorded");
        let digest = Digest::of(b"c");
        assert_eq!(configured(&database, &name), Ok(None));
        set_configured(&database, &name, &digest).expect("remembered");
        drop(database);
        let database = open(&path, false).expect("again");
        assert_eq!(read(&database), Ok(vec![(name.clone(), second, events.to_vec())]));
        assert_eq!(configured(&database, &name), Ok(Some(digest)));
        database.pragma_update(None, "user_version", 9).expect("a newer form");
        drop(database);
        let refused = open(&path, false).expect_err("too new");
        assert!(refused.contains("its form is 9"), "{refused}");
    }
}
