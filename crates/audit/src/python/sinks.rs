//! Calls that hold the thread that makes them, by the way into the library (`Value::External`).
//!
//! A way is read from the left: who made the object, then what is asked of it. `redis.Redis().get` is a
//! round trip, `redis.Redis()` alone is not, and `redis.asyncio.Redis().get` is awaited.

/// What a call does while it holds the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Blocks {
    /// A model computes.
    Predict,
    /// It sleeps, or waits for a process, a thread or a person.
    Wait,
    /// It reads or writes a file.
    File,
    /// It reads or writes a whole table.
    Frame,
    /// HTTP and what stands on it.
    Http,
    /// PostgreSQL and other databases, by their drivers.
    Database,
    /// `SQLAlchemy`'s sessions and connections.
    Orm,
    /// Redis.
    Redis,
    /// A model is read into memory.
    Load,
    /// A cluster of H2O is asked.
    H2o,
    /// A JVM is started for a prediction.
    Java,
}

/// What is known about a call that blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sink {
    pub(crate) blocks: Blocks,
    /// Whether the library is known; else only names speak for it.
    pub(crate) certain: bool,
}

/// Whole functions.
const FUNCTIONS: &[(Blocks, &[&str])] = &[
    (
        Blocks::Wait,
        &[
            "time.sleep",
            "os.system",
            "os.popen",
            "os.wait",
            "os.waitpid",
            "subprocess.run",
            "subprocess.call",
            "subprocess.check_call",
            "subprocess.check_output",
            "subprocess.getoutput",
            "subprocess.getstatusoutput",
            "subprocess.Popen().wait",
            "subprocess.Popen().communicate",
            "input",
            "threading.Thread().join",
            "multiprocessing.Process().join",
            "concurrent.futures.ThreadPoolExecutor().submit().result",
            "concurrent.futures.ProcessPoolExecutor().submit().result",
            "concurrent.futures.wait",
            "multiprocessing.Pool().map",
            "multiprocessing.Pool().starmap",
            "multiprocessing.pool.ThreadPool().map",
            "asyncio.run_coroutine_threadsafe().result",
            "ray.get",
            "ray.wait",
        ],
    ),
    (
        Blocks::File,
        &[
            "open",
            "io.open",
            "gzip.open",
            "bz2.open",
            "lzma.open",
            "pathlib.Path().read_text",
            "pathlib.Path().read_bytes",
            "pathlib.Path().write_text",
            "pathlib.Path().write_bytes",
            "pathlib.Path().open",
            "shutil.copyfileobj",
            "shutil.copyfile",
            "shutil.copy",
            "shutil.copytree",
            "shutil.rmtree",
            "shutil.move",
            "shutil.make_archive",
            "shutil.unpack_archive",
        ],
    ),
    (
        Blocks::Frame,
        &[
            "numpy.load",
            "numpy.save",
            "numpy.savez",
            "numpy.savez_compressed",
            "numpy.loadtxt",
            "numpy.savetxt",
            "numpy.genfromtxt",
            "pyarrow.parquet.read_table",
            "pyarrow.parquet.write_table",
            "pyarrow.csv.read_csv",
            "pyarrow.feather.read_table",
            "pandas.DataFrame().to_sql",
        ],
    ),
    (
        Blocks::Http,
        &[
            "requests.get",
            "requests.post",
            "requests.put",
            "requests.patch",
            "requests.delete",
            "requests.head",
            "requests.options",
            "requests.request",
            "httpx.get",
            "httpx.post",
            "httpx.put",
            "httpx.patch",
            "httpx.delete",
            "httpx.head",
            "httpx.options",
            "httpx.request",
            "httpx.stream",
            "urllib.request.urlopen",
            "urllib.request.urlretrieve",
            "urllib3.request",
            "wget.download",
            "requests.api.get",
            "requests.api.post",
            "huggingface_hub.hf_hub_download",
            "huggingface_hub.snapshot_download",
        ],
    ),
    (
        Blocks::Database,
        &[
            "psycopg2.connect",
            "psycopg.connect",
            "psycopg.Connection.connect",
            "pg8000.connect",
            "pg8000.native.Connection",
            "pymysql.connect",
            "MySQLdb.connect",
            "mysql.connector.connect",
            "pyodbc.connect",
            "cx_Oracle.connect",
            "oracledb.connect",
            "snowflake.connector.connect",
        ],
    ),
    (
        Blocks::Load,
        &[
            "joblib.load",
            "pickle.load",
            "cloudpickle.load",
            "dill.load",
            "skops.io.load",
            "torch.load",
            "torch.jit.load",
            "spacy.load",
            "h2o.load_model",
            "h2o.import_mojo",
            "h2o.upload_mojo",
            "h2o.upload_model",
            "tensorflow.keras.models.load_model",
            "keras.models.load_model",
            "tensorflow.saved_model.load",
            "onnxruntime.InferenceSession",
            "transformers.pipeline",
            "sentence_transformers.SentenceTransformer",
            "onnx.load",
            "catboost.CatBoostClassifier().load_model",
            "catboost.CatBoostRegressor().load_model",
            "xgboost.Booster().load_model",
            "xgboost.XGBClassifier().load_model",
            "xgboost.XGBRegressor().load_model",
            "sklearn.externals.joblib.load",
            "daimojo.model",
            "ultralytics.YOLO",
            "tflite_runtime.interpreter.Interpreter",
            "fasttext.load_model",
            "stemson.load",
            "mlserver.utils.load",
            "safetensors.torch.load_file",
        ],
    ),
    (
        Blocks::Java,
        &[
            "h2o.mojo_predict_pandas",
            "h2o.mojo_predict_csv",
            "h2o.utils.shared_utils.mojo_predict_pandas",
            "h2o.utils.shared_utils.mojo_predict_csv",
        ],
    ),
    (
        Blocks::H2o,
        &[
            "h2o.init",
            "h2o.connect",
            "h2o.H2OFrame",
            "h2o.import_file",
            "h2o.upload_file",
            "h2o.get_model",
            "h2o.get_frame",
            "h2o.as_list",
            "h2o.remove",
            "h2o.remove_all",
            "h2o.H2OFrame.from_python",
        ],
    ),
    (
        Blocks::Predict,
        &["pycaret.classification.predict_model", "pycaret.regression.predict_model"],
    ),
];

/// Objects by who makes them, and what of them blocks; `*` is every method.
const OBJECTS: &[(Blocks, &[&str], &[&str])] = &[
    (
        Blocks::Http,
        &["requests.Session()", "requests.session()", "httpx.Client()"],
        &["get", "post", "put", "patch", "delete", "head", "options", "request", "send", "stream"],
    ),
    (
        Blocks::Http,
        &["urllib3.PoolManager()", "http.client.HTTPConnection()", "http.client.HTTPSConnection()"],
        &["request", "urlopen", "getresponse"],
    ),
    (
        Blocks::Http,
        &["openai.OpenAI()", "openai.AzureOpenAI()", "anthropic.Anthropic()"],
        &["create", "parse", "stream", "retrieve", "generate"],
    ),
    (Blocks::Http, &["boto3.client()", "boto3.resource()", "boto3.Session()"], &["*call"]),
    (
        Blocks::Http,
        &[
            "minio.Minio()",
            "google.cloud.storage.Client()",
            "smtplib.SMTP()",
            "smtplib.SMTP_SSL()",
            "paramiko.SSHClient()",
            "ftplib.FTP()",
        ],
        &["*call"],
    ),
    (
        Blocks::Database,
        &[
            "psycopg2.connect()",
            "psycopg2.pool.",
            "psycopg.connect()",
            "psycopg.Connection.connect()",
            "psycopg_pool.ConnectionPool()",
            "sqlite3.connect()",
            "pymysql.connect()",
            "MySQLdb.connect()",
            "mysql.connector.connect()",
            "pyodbc.connect()",
            "pg8000.connect()",
            "oracledb.connect()",
            "snowflake.connector.connect()",
            "duckdb.connect()",
        ],
        &[
            "execute",
            "executemany",
            "executescript",
            "fetchone",
            "fetchall",
            "fetchmany",
            "commit",
            "rollback",
            "getconn",
            "connection",
            "callproc",
            "copy_expert",
            "copy_from",
            "run",
        ],
    ),
    (
        Blocks::Database,
        &["pymongo.MongoClient()"],
        &[
            "find_one",
            "insert_one",
            "insert_many",
            "update_one",
            "update_many",
            "delete_one",
            "delete_many",
            "aggregate",
            "count_documents",
            "command",
            "replace_one",
            "find_one_and_update",
            "create_index",
        ],
    ),
    (
        Blocks::Database,
        &[
            "elasticsearch.Elasticsearch()",
            "cassandra.cluster.Cluster()",
            "clickhouse_connect.get_client()",
            "influxdb_client.InfluxDBClient()",
            "google.cloud.bigquery.Client()",
        ],
        &["*call"],
    ),
    (
        Blocks::Orm,
        &[
            "sqlalchemy.create_engine()",
            "sqlalchemy.engine.create_engine()",
            "sqlalchemy.orm.Session()",
            "sqlalchemy.orm.sessionmaker()()",
            "sqlalchemy.orm.scoped_session()",
            "sqlalchemy.orm.session.Session()",
            "sqlmodel.Session()",
            "sqlmodel.create_engine()",
            "sqlalchemy.engine.Connection()",
            "sqlalchemy.engine.Engine()",
            "sqlalchemy.Engine()",
            "sqlalchemy.Connection()",
            "flask_sqlalchemy.SQLAlchemy().session",
        ],
        &[
            "execute",
            "connect",
            "begin",
            "commit",
            "rollback",
            "flush",
            "refresh",
            "get",
            "first",
            "all",
            "one",
            "one_or_none",
            "scalar",
            "scalars",
            "count",
            "exec",
            "bulk_save_objects",
            "bulk_insert_mappings",
            "merge",
            "scalar_one",
            "scalar_one_or_none",
            "raw_connection",
            "update",
            "exists",
        ],
    ),
    (
        Blocks::Redis,
        &[
            "redis.Redis()",
            "redis.StrictRedis()",
            "redis.from_url()",
            "redis.Redis.from_url()",
            "redis.StrictRedis.from_url()",
            "redis.client.Redis()",
            "redis.cluster.RedisCluster()",
            "redis.RedisCluster()",
            "redis.sentinel.Sentinel()",
            "rediscluster.RedisCluster()",
        ],
        &[
            "get",
            "set",
            "setex",
            "mget",
            "mset",
            "hget",
            "hset",
            "hgetall",
            "hmset",
            "hmget",
            "delete",
            "exists",
            "expire",
            "incr",
            "decr",
            "ttl",
            "lpush",
            "rpush",
            "lpop",
            "rpop",
            "blpop",
            "brpop",
            "lrange",
            "sadd",
            "smembers",
            "srem",
            "zadd",
            "zrange",
            "publish",
            "ping",
            "keys",
            "scan",
            "flushdb",
            "flushall",
            "execute",
            "xadd",
            "xread",
            "setnx",
            "getset",
            "listen",
            "get_message",
            "eval",
            "info",
            "incrby",
            "psetex",
            "unlink",
            "llen",
            "sismember",
            "pipeline",
        ],
    ),
    (Blocks::Java, &["h2o.import_mojo()", "h2o.upload_mojo()"], &["predict"]),
    (
        Blocks::H2o,
        &[
            "h2o.load_model()",
            "h2o.get_model()",
            "h2o.upload_model()",
            "h2o.H2OFrame()",
            "h2o.automl.",
            "h2o.estimators.",
            "h2o.model.",
        ],
        &[
            "predict",
            "predict_contributions",
            "model_performance",
            "train",
            "as_data_frame",
            "leader",
            "predict_leaf_node_assignment",
            "download_mojo",
        ],
    ),
    (
        Blocks::Frame,
        &["pandas.", "polars.", "geopandas.", "datatable."],
        &[
            "read_csv",
            "read_parquet",
            "read_sql",
            "read_sql_query",
            "read_sql_table",
            "read_excel",
            "read_json",
            "read_feather",
            "read_pickle",
            "read_hdf",
            "read_orc",
            "read_html",
            "read_table",
            "read_xml",
            "read_ipc",
            "read_database",
            "to_csv",
            "to_parquet",
            "to_sql",
            "to_excel",
            "to_feather",
            "to_pickle",
            "to_hdf",
            "write_csv",
            "write_parquet",
            "write_ipc",
            "write_database",
            "collect",
            "read_fwf",
        ],
    ),
];

/// Who makes models, by the beginning of the way.
const MODELS: &[&str] = &[
    "joblib.load()",
    "pickle.load()",
    "pickle.loads()",
    "cloudpickle.load()",
    "cloudpickle.loads()",
    "dill.load()",
    "skops.io.load()",
    "sklearn.",
    "xgboost.",
    "lightgbm.",
    "catboost.",
    "torch.",
    "torchvision.models.",
    "tensorflow.",
    "keras.",
    "onnxruntime.InferenceSession()",
    "transformers.",
    "sentence_transformers.",
    "spacy.load()",
    "mlflow.",
    "daimojo.",
    "statsmodels.",
    "prophet.",
    "autogluon.",
    "ultralytics.",
    "fasttext.",
    "flair.",
    "pycaret.",
    "implicit.",
    "interpret.",
    "shap.",
    "bentoml.sklearn.load_model()",
    "bentoml.xgboost.load_model()",
    "bentoml.pytorch.load_model()",
    "sklearn.externals.joblib.load()",
    "timm.",
    "whisper.load_model()",
    "easyocr.Reader()",
    "paddleocr.",
];

/// What models compute.
const COMPUTES: &[&str] = &[
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "fit",
    "fit_transform",
    "fit_predict",
    "score_samples",
    "inplace_predict",
    "predict_on_batch",
    "kneighbors",
    "run",
    "encode",
    "generate",
    "partial_fit",
    "shap_values",
    "pipe",
    "transcribe",
    "readtext",
    "predict_step",
    "forward",
    "*",
];

/// Objects that compute when they are called themselves.
const CALLABLE: &[&str] = &[
    "torch.load()",
    "torch.jit.load()",
    "transformers.pipeline()",
    "spacy.load()",
    "tensorflow.keras.models.load_model()",
    "keras.models.load_model()",
    "torch.nn.Module()",
    "ultralytics.YOLO()",
    "tensorflow.saved_model.load()",
];

/// Names of receivers that are models, where nothing else is known.
const MODEL_NAMES: &[&str] =
    &["model", "clf", "classifier", "regressor", "estimator", "booster", "predictor", "pipeline"];

/// What a call of this way does to the thread.
pub(crate) fn sink(path: &str) -> Option<Sink> {
    let known = |blocks| Some(Sink { blocks, certain: true });
    if let Some((blocks, _)) = FUNCTIONS.iter().find(|(_, names)| names.contains(&path)) {
        return known(*blocks);
    }
    if path.contains(".load_model")
        && ["mlflow.", "bentoml."].iter().any(|it| path.starts_with(it))
        && path.ends_with("load_model")
        || path.ends_with(".from_pretrained") && path.starts_with("transformers.")
        || path.ends_with("TabularPredictor.load")
    {
        return known(Blocks::Load);
    }
    let method = path.rsplit('.').next().unwrap_or(path);
    for (blocks, makers, methods) in OBJECTS {
        let Some(maker) = makers.iter().find(|maker| path.starts_with(**maker)) else { continue };
        let asked = &path[maker.len()..];
        let is_asked =
            methods.contains(&"*call") && is_request(asked, method) || methods.contains(&method);
        if is_asked && asked.len() >= method.len() {
            return known(*blocks);
        }
    }
    computes(path, method).then_some(Sink { blocks: Blocks::Predict, certain: true })
}

/// Whether a method of a client, or of a part of it (`resource.Table().get_item`), goes to the other
/// side: not what is asked of an answer, and not what only prepares.
fn is_request(asked: &str, method: &str) -> bool {
    let prepares = [
        "get_paginator",
        "get_waiter",
        "generate_presigned_url",
        "can_paginate",
        "close",
        "get",
        "items",
        "keys",
        "values",
        "pop",
        "append",
        "copy",
        "Table",
        "Bucket",
        "Object",
        "Queue",
        "bucket",
        "table",
    ];
    asked.starts_with('.')
        && !asked.ends_with(')')
        && asked.matches("()").count() <= 1
        && !prepares.contains(&method)
}

/// A method of a model, or the model itself: `torch.load()(x)`, `nlp(text)`.
fn computes(path: &str, method: &str) -> bool {
    if !MODELS.iter().any(|maker| path.starts_with(maker)) {
        return false;
    }
    // Functions of a module (`torch.tensor`, `sklearn.utils.shuffle`) make no model.
    let made = path[..path.len() - method.len()].contains("()");
    let other = [".datasets.", "Tokenizer", "Processor"].iter().any(|it| path.contains(it));
    made && COMPUTES.contains(&method) && !other || CALLABLE.contains(&path)
}

/// A call whose receiver nothing is known of but its name: `model.predict(...)`.
pub(crate) fn sink_by_name(receiver: &str, method: &str) -> Option<Sink> {
    let receiver = receiver.to_ascii_lowercase();
    let is_model = MODEL_NAMES.iter().any(|it| receiver.contains(it));
    let computes = ["predict", "predict_proba", "predict_log_proba", "decision_function"];
    (is_model && computes.contains(&method))
        .then_some(Sink { blocks: Blocks::Predict, certain: false })
}
