//! `benchmark-jsonb-index`: what each index on a JSONB column costs writers and gives readers.
//!
//! Works in a table that it makes and drops, on a private server or on one that is named. Touches no
//! other table, but reads the one that it is told to sample.

mod measure;
mod report;
mod shape;

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

pub use measure::Variant;
pub use report::Report;
pub use shape::Shape;

use crate::postgres::{PostgresError, PrivatePostgres};
use measure::Bench;

/// What to measure.
#[derive(Debug, Clone)]
pub struct JsonbIndex {
    /// The table to make; it must not exist.
    pub table: String,
    /// Rows to load before an index is built.
    pub rows: u64,
    /// Rows a second in the paced part.
    pub write_rate: u32,
    /// Length of the paced and of the full-speed part, each, for each index.
    pub seconds: u32,
    /// What the documents look like.
    pub shape: Shape,
    /// A table whose documents are taken instead.
    pub sample_from: Option<String>,
    /// A server by its URL; without it a private one is started.
    pub database: Option<String>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum JsonbIndexError {
    /// A flag is wrong.
    #[error("{0}")]
    Input(String),
    /// There is no private server.
    #[error("no private PostgreSQL")]
    Private(#[from] PostgresError),
    /// The server cannot be reached.
    #[error("cannot connect to the database")]
    Connect(#[source] tokio_postgres::Error),
    /// A statement failed.
    #[error("the database refuses: {what}")]
    Statement {
        /// Which.
        what: String,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// Ctrl-C.
    #[error("interrupted; the table is dropped, the private server stopped")]
    Interrupted,
    /// The system gives no runtime, folder or process.
    #[error("cannot start")]
    Io(#[from] std::io::Error),
}

impl JsonbIndex {
    /// Runs it. Whatever happens, Ctrl-C included, its table is dropped and its server stopped.
    ///
    /// `progress` is told what is done next.
    pub fn run(&self, progress: &mut dyn FnMut(&str)) -> Result<Report, JsonbIndexError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.guarded(progress))
    }

    async fn guarded(&self, progress: &mut dyn FnMut(&str)) -> Result<Report, JsonbIndexError> {
        self.check()?;
        let mut interrupted = Box::pin(interruption()?);
        let server = match &self.database {
            Some(_) => None,
            None => {
                progress("starting a private PostgreSQL");
                Some(PrivatePostgres::start(&[("max_wal_size", "4GB")])?)
            }
        };
        let url = server.as_ref().map(PrivatePostgres::url).or(self.database.as_deref());
        let config =
            url.unwrap_or_default().parse::<tokio_postgres::Config>().map_err(|cause| {
                let why = "--database is no URL like postgres://user@host/name";
                JsonbIndexError::Input(format!("{why}: {cause}"))
            })?;
        let mut client = connect(&config).await?;
        let mut bench = Bench::new(self);
        let ended = tokio::select! {
            ended = bench.run(&mut client, progress) => ended,
            () = &mut interrupted => Err(JsonbIndexError::Interrupted),
        };
        // A private server goes as a whole.
        if let (None, Some(drop_table)) = (&server, bench.drop_table()) {
            // The old connection may be in the middle of something.
            drop(client);
            let client = connect(&config).await?;
            let dropped = client.batch_execute(&drop_table).await;
            dropped.map_err(|source| JsonbIndexError::Statement { what: drop_table, source })?;
        }
        ended
    }

    fn check(&self) -> Result<(), JsonbIndexError> {
        let wrong = |why: String| Err(JsonbIndexError::Input(why));
        if self.table.is_empty() || self.table.len() > 40 || self.table.contains('\0') {
            return wrong(format!("--table `{}`: expected 1 to 40 bytes", self.table));
        }
        if self.rows < 1_000 {
            return wrong(
                "--rows begins at 1000: below that every plan reads the whole table".to_owned(),
            );
        }
        if self.write_rate == 0 || self.seconds == 0 {
            return wrong("--write-rate and --seconds begin at 1".to_owned());
        }
        Ok(())
    }
}

async fn connect(config: &tokio_postgres::Config) -> Result<Client, JsonbIndexError> {
    let mut config = config.clone();
    config.connect_timeout(Duration::from_secs(10)).application_name("stemson");
    let (client, connection) = config.connect(NoTls).await.map_err(JsonbIndexError::Connect)?;
    // Ends with the client; what goes wrong there also fails the statement.
    tokio::spawn(connection);
    Ok(client)
}

/// Ready at Ctrl-C or SIGTERM.
fn interruption() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
    })
}

/// An identifier as SQL reads it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL reads it, with `standard_conforming_strings` on.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_what_they_are() {
        assert_eq!(quoted(r#"a"; drop table x; --"#), r#""a""; drop table x; --""#);
        assert_eq!(literal("it's"), "'it''s'");
    }
}
