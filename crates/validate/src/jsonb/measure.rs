//! The measurements, one index after another on the same rows.

use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::report::{Asked, Measured, Paced, Report};
use super::shape::{Documents, Questions, questions};
use super::{JsonbIndex, JsonbIndexError, literal, quoted};

/// Which index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The primary key alone.
    None,
    /// A B-tree on one key of the document.
    Expression,
    /// GIN with `jsonb_ops`.
    Ops,
    /// GIN with `jsonb_path_ops`.
    PathOps,
    /// `jsonb_ops` that writes to the index at once.
    OpsDirect,
    /// `jsonb_path_ops` that writes to the index at once.
    PathOpsDirect,
}

impl Variant {
    /// In the order in which they are measured.
    pub(crate) const ALL: [Self; 6] = [
        Self::None,
        Self::Expression,
        Self::Ops,
        Self::PathOps,
        Self::OpsDirect,
        Self::PathOpsDirect,
    ];

    /// The name in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Expression => "expression B-tree",
            Self::Ops => "jsonb_ops",
            Self::PathOps => "jsonb_path_ops",
            Self::OpsDirect => "jsonb_ops, fastupdate off",
            Self::PathOpsDirect => "jsonb_path_ops, fastupdate off",
        }
    }

    /// What stands behind `USING`.
    fn definition(self, hot_key: &str) -> Option<String> {
        let gin = |class: &str, more: &str| Some(format!("gin (c {class}){more}"));
        match self {
            Self::None => None,
            Self::Expression => Some(format!("btree ((c ->> {}))", literal(hot_key))),
            Self::Ops => gin("jsonb_ops", ""),
            Self::PathOps => gin("jsonb_path_ops", ""),
            Self::OpsDirect => gin("jsonb_ops", " WITH (fastupdate = off)"),
            Self::PathOpsDirect => gin("jsonb_path_ops", " WITH (fastupdate = off)"),
        }
    }

    fn is_gin(self) -> bool {
        !matches!(self, Self::None | Self::Expression)
    }
}

/// Rows in one transaction at full speed.
const FULL_BATCH: u64 = 1_000;
/// Transactions a second in the paced part, where the rate allows.
const PACED_PER_SECOND: u32 = 10;
/// A question is asked so often, or for so long.
const ASKED_MAX: usize = 100;
const ASKED_FOR: Duration = Duration::from_secs(2);
/// Documents of another table that are taken.
const SAMPLED_MAX: u32 = 10_000;

/// One run of the benchmark in its table.
pub(crate) struct Bench<'a> {
    plan: &'a JsonbIndex,
    table: String,
    index: String,
    made: bool,
    next_row: u64,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(plan: &'a JsonbIndex) -> Self {
        let (table, index) =
            (quoted(&plan.table), quoted(&format!("{}_stemson_index", plan.table)));
        Self { plan, table, index, made: false, next_row: 0 }
    }

    /// How to take away what was made; `None` if nothing was.
    pub(crate) fn drop_table(&self) -> Option<String> {
        self.made.then(|| format!("DROP TABLE IF EXISTS {}", self.table))
    }

    pub(crate) async fn run(
        &mut self,
        client: &mut Client,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Report, JsonbIndexError> {
        execute(client, "SET standard_conforming_strings = on").await?;
        let documents = self.documents(client).await?;
        let questions = questions(&documents).ok_or_else(|| {
            JsonbIndexError::Input(
                "the documents hold no text, number or boolean at their top level".to_owned(),
            )
        })?;
        let version = text(client, "SHOW server_version").await?;
        self.make(client).await?;
        progress(&format!("loading {} rows", self.plan.rows));
        let loading = Instant::now();
        self.load(client, &documents).await?;
        let load_seconds = loading.elapsed().as_secs_f64();
        execute(client, &format!("VACUUM ANALYZE {}", self.table)).await?;
        let heap_bytes =
            number(client, &format!("SELECT pg_table_size({})", self.regclass())).await?;
        let mut measured = Vec::new();
        for variant in Variant::ALL {
            progress(&format!("measuring: {}", variant.as_str()));
            measured.push(self.variant(client, variant, &documents, &questions).await?);
        }
        Ok(Report::new(self.plan, version, questions.hot_key, load_seconds, heap_bytes, measured))
    }

    fn regclass(&self) -> String {
        format!("{}::regclass", literal(&self.table))
    }

    /// The documents of the shape, or of the table to sample.
    async fn documents(&self, client: &Client) -> Result<Documents, JsonbIndexError> {
        let Some(source) = &self.plan.sample_from else {
            return Ok(Documents::Made(self.plan.shape));
        };
        let input = |why: &str| JsonbIndexError::Input(format!("--sample-from {source}: {why}"));
        let (source, name) = (quoted_path(source), literal(&quoted_path(source)));
        let column = format!(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass({name}) AND atttypid = 'jsonb'::regtype \
             AND attnum > 0 AND NOT attisdropped ORDER BY attnum LIMIT 1"
        );
        let column = rows(client, &column)
            .await?
            .pop()
            .ok_or_else(|| input("no such table, or no jsonb column in it"))?;
        let column = quoted(&column);
        let query = format!(
            "SELECT {column}::text FROM {source} WHERE jsonb_typeof({column}) = 'object' LIMIT {SAMPLED_MAX}"
        );
        let texts = rows(client, &query).await?;
        if texts.is_empty() {
            Err(input("no documents in it"))
        } else {
            Ok(Documents::Sampled(texts))
        }
    }

    async fn make(&mut self, client: &Client) -> Result<(), JsonbIndexError> {
        let exists = || {
            JsonbIndexError::Input(format!(
                "table `{}` exists: name one that does not, it is dropped at the end",
                self.plan.table
            ))
        };
        if !text(
            client,
            &format!("SELECT coalesce(to_regclass({})::text, '')", literal(&self.table)),
        )
        .await?
        .is_empty()
        {
            return Err(exists());
        }
        // Not while it is measured: what autovacuum does is done in the open here.
        let create = format!(
            "CREATE TABLE {} (entity_id bigint PRIMARY KEY, event_time timestamptz NOT NULL DEFAULT now(), c jsonb NOT NULL) \
             WITH (autovacuum_enabled = off)",
            self.table
        );
        match client.batch_execute(&create).await {
            Ok(()) => self.made = true,
            Err(cause)
                if cause.code() == Some(&tokio_postgres::error::SqlState::DUPLICATE_TABLE) =>
            {
                return Err(exists());
            }
            Err(source) => return Err(JsonbIndexError::Statement { what: create, source }),
        }
        Ok(())
    }

    async fn load(
        &mut self,
        client: &Client,
        documents: &Documents,
    ) -> Result<(), JsonbIndexError> {
        let copy = format!("COPY {} (entity_id, c) FROM STDIN", self.table);
        let failed = |source| JsonbIndexError::Statement { what: copy.clone(), source };
        let sink = client.copy_in(&copy).await.map_err(failed)?;
        let mut sink = std::pin::pin!(sink);
        let mut chunk = String::new();
        while self.next_row < self.plan.rows {
            // COPY's text form: backslashes doubled, a tab between columns.
            let document = documents.document(self.next_row).replace('\\', "\\\\");
            chunk.extend([&self.next_row.to_string(), "\t", &document, "\n"]);
            self.next_row += 1;
            if chunk.len() > 1 << 18 || self.next_row == self.plan.rows {
                let bytes = bytes::Bytes::from(std::mem::take(&mut chunk));
                sink.send(bytes).await.map_err(failed)?;
            }
        }
        sink.finish().await.map(drop).map_err(failed)
    }

    async fn variant(
        &mut self,
        client: &mut Client,
        variant: Variant,
        documents: &Documents,
        questions: &Questions,
    ) -> Result<Measured, JsonbIndexError> {
        let building = Instant::now();
        if let Some(definition) = variant.definition(&questions.hot_key) {
            execute(
                client,
                &format!("CREATE INDEX {} ON {} USING {definition}", self.index, self.table),
            )
            .await?;
        }
        let build_seconds = building.elapsed().as_secs_f64();
        execute(client, &format!("ANALYZE {}", self.table)).await?;
        let index_bytes = self.index_bytes(client, variant).await?;
        let mut asked = Vec::new();
        for question in &questions.list {
            asked.push(self.ask(client, question.name, &question.condition).await?);
        }
        // The first change of a page after a checkpoint writes the whole page: the same for all.
        let checkpoint = client.batch_execute("CHECKPOINT").await;
        let wal = self.wal(client).await?;
        let first = self.next_row;
        let paced = self.paced(client, documents).await?;
        let between = self.next_row;
        let full_seconds = self.full_speed(client, documents).await?.as_secs_f64();
        let full_rows = self.next_row - between;
        let pending_bytes = self.index_bytes(client, variant).await?.saturating_sub(index_bytes);
        let flushing = Instant::now();
        let mut flushed_pages = 0;
        if variant.is_gin() {
            let flush =
                format!("SELECT gin_clean_pending_list({}::regclass)", literal(&self.index));
            flushed_pages = number(client, &flush).await?;
        }
        let flush_seconds = flushing.elapsed().as_secs_f64();
        let wal_bytes = self.wal(client).await?.saturating_sub(wal);
        let measured = Measured {
            variant,
            build_seconds,
            index_bytes,
            grown_bytes: pending_bytes,
            full_us_per_row: full_seconds * 1e6 / full_rows as f64,
            wal_bytes_per_row: wal_bytes as f64 / (self.next_row - first) as f64,
            after_checkpoint: checkpoint.is_ok(),
            flushed_pages,
            flush_seconds,
            paced,
            asked,
        };
        self.restore(client).await?;
        Ok(measured)
    }

    /// Takes index and new rows away: the next one starts from the same table.
    async fn restore(&mut self, client: &Client) -> Result<(), JsonbIndexError> {
        execute(client, &format!("DROP INDEX IF EXISTS {}", self.index)).await?;
        execute(
            client,
            &format!("DELETE FROM {} WHERE entity_id >= {}", self.table, self.plan.rows),
        )
        .await?;
        execute(client, &format!("VACUUM {}", self.table)).await?;
        self.next_row = self.plan.rows;
        Ok(())
    }

    async fn index_bytes(&self, client: &Client, variant: Variant) -> Result<u64, JsonbIndexError> {
        if variant == Variant::None {
            return Ok(0);
        }
        number(client, &format!("SELECT pg_relation_size({}::regclass)", literal(&self.index)))
            .await
    }

    async fn wal(&self, client: &Client) -> Result<u64, JsonbIndexError> {
        number(client, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").await
    }

    async fn ask(
        &self,
        client: &Client,
        name: &'static str,
        condition: &str,
    ) -> Result<Asked, JsonbIndexError> {
        let query = format!("SELECT count(*) FROM {} WHERE {condition}", self.table);
        let plan = rows(client, &format!("EXPLAIN {query}")).await?.join("\n");
        let by_index = plan.contains(self.index.trim_matches('"')) || plan.contains(&self.index);
        let mut times = Vec::new();
        let mut found = 0;
        let began = Instant::now();
        while times.is_empty() || (times.len() < ASKED_MAX && began.elapsed() < ASKED_FOR) {
            let asked = Instant::now();
            found = number(client, &query).await?;
            times.push(asked.elapsed());
        }
        Ok(Asked {
            name,
            found,
            by_index,
            p50: quantile(&times, 0.5),
            p99: quantile(&times, 0.99),
            times: times.len(),
        })
    }

    /// Writes at the asked rate; each transaction is due at its time, whatever became of the last.
    async fn paced(
        &mut self,
        client: &Client,
        documents: &Documents,
    ) -> Result<Paced, JsonbIndexError> {
        let per_second = PACED_PER_SECOND.min(self.plan.write_rate);
        let batch = u64::from(self.plan.write_rate.div_ceil(per_second));
        let began = Instant::now();
        let mut latencies = Vec::new();
        let mut behind = Duration::ZERO;
        for number in 0..per_second * self.plan.seconds {
            // Rates that the batches do not divide keep their rows a second by a longer pause.
            let due = began
                + Duration::from_secs_f64(
                    f64::from(number) * batch as f64 / f64::from(self.plan.write_rate),
                );
            let batch = self.batch(documents, batch);
            tokio::time::sleep_until(due.into()).await;
            behind = behind.max(due.elapsed());
            self.insert(client, batch).await?;
            latencies.push(due.elapsed());
        }
        let max = latencies.iter().max().copied().unwrap_or_default();
        Ok(Paced { p50: quantile(&latencies, 0.5), p99: quantile(&latencies, 0.99), max, behind })
    }

    /// Writes without a pause; the time of the statements alone.
    async fn full_speed(
        &mut self,
        client: &Client,
        documents: &Documents,
    ) -> Result<Duration, JsonbIndexError> {
        let until = Instant::now() + Duration::from_secs(u64::from(self.plan.seconds));
        let mut spent = Duration::ZERO;
        loop {
            let batch = self.batch(documents, FULL_BATCH);
            let began = Instant::now();
            self.insert(client, batch).await?;
            spent += began.elapsed();
            if Instant::now() >= until {
                return Ok(spent);
            }
        }
    }

    fn batch(&mut self, documents: &Documents, rows: u64) -> (Vec<i64>, Vec<String>) {
        let numbers = self.next_row..self.next_row + rows;
        self.next_row = numbers.end;
        numbers.map(|row| (row as i64, documents.document(row))).unzip()
    }

    async fn insert(
        &self,
        client: &Client,
        (ids, documents): (Vec<i64>, Vec<String>),
    ) -> Result<(), JsonbIndexError> {
        let insert = format!(
            "INSERT INTO {} (entity_id, c) SELECT id, d::jsonb FROM unnest($1::bigint[], $2::text[]) AS t(id, d)",
            self.table
        );
        let parameters: [&(dyn ToSql + Sync); 2] = [&ids, &documents];
        let done = client.execute(&insert, &parameters).await;
        done.map(drop).map_err(|source| JsonbIndexError::Statement { what: insert, source })
    }
}

/// `schema.table` or `table`, each part quoted.
fn quoted_path(path: &str) -> String {
    path.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// The value below which the share of `times` stays.
fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = (times.len() as f64 * share).ceil() as usize;
    times.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

async fn execute(client: &Client, statement: &str) -> Result<(), JsonbIndexError> {
    let done = client.batch_execute(statement).await;
    done.map_err(|source| JsonbIndexError::Statement { what: statement.to_owned(), source })
}

/// The first column of every row.
async fn rows(client: &Client, query: &str) -> Result<Vec<String>, JsonbIndexError> {
    let answered = client.simple_query(query).await;
    let messages =
        answered.map_err(|source| JsonbIndexError::Statement { what: query.to_owned(), source })?;
    let first = |message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(first).collect())
}

async fn text(client: &Client, query: &str) -> Result<String, JsonbIndexError> {
    Ok(rows(client, query).await?.pop().unwrap_or_default())
}

async fn number(client: &Client, query: &str) -> Result<u64, JsonbIndexError> {
    Ok(text(client, query).await?.parse().unwrap_or(0))
}
