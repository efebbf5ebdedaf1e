//! Who does what: one thread for everything, or a reader, workers and a writer with a fixed
//! number of blocks going round between them.
//!
//! ```text
//! free blocks -> reader -> workers -> writer -> free blocks
//! ```
//!
//! Nothing here can run ahead: who has no block waits. The writer holds back a block until all
//! before it are written; the block it waits for is with the reader or a worker, never behind it.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use stemson_mojo::{Model, Options};

use crate::block::Block;
use crate::error::BatchError;
use crate::plan::{Names, Plan};
use crate::reader::{Notes, Reader};
use crate::render::{Encoder, Form};
use crate::summary::{Summary, Totals};
use crate::worker::Worker;

/// A job, planned.
pub(crate) struct Line<'m> {
    pub(crate) reader: Reader,
    pub(crate) form: Form,
    pub(crate) names: Arc<Names>,
    pub(crate) model: &'m Arc<Model>,
    pub(crate) options: Options,
}

/// What reaches the writer.
enum Message {
    Block(Box<Block>),
    /// The reader has come to the end.
    End(Notes),
    Panic(Box<dyn Any + Send>),
}

impl Line<'_> {
    pub(crate) fn run(
        self,
        threads: usize,
        blocks: usize,
        output: impl Write,
        progress: impl FnMut(u64),
    ) -> Result<Summary, BatchError> {
        let names = Arc::clone(&self.names);
        let form = Arc::new(self.form);
        let workers = (0..threads)
            .map(|_| Worker::new(Arc::clone(self.model), self.options, Arc::clone(&form)))
            .collect();
        let mut writer = Writer {
            output,
            header: form.header(),
            progress,
            encoder: form.encoder(),
            totals: Totals::default(),
            jsonl: None,
            names: &names,
        };
        let notes = if threads == 1 {
            alone(self.reader, workers, &mut writer)?
        } else {
            together(self.reader, workers, blocks, &mut writer)?
        };
        writer.finish(notes, &form)
    }
}

fn alone<W: Write, P: FnMut(u64)>(
    mut reader: Reader,
    workers: Vec<Worker>,
    writer: &mut Writer<'_, W, P>,
) -> Result<Notes, BatchError> {
    let mut block = Block::default();
    for mut worker in workers {
        while reader.fill(&mut block) {
            worker.work(&mut block);
            writer.take(&mut block)?;
        }
    }
    Ok(reader.notes)
}

fn together<W: Write, P: FnMut(u64)>(
    mut reader: Reader,
    workers: Vec<Worker>,
    blocks: usize,
    writer: &mut Writer<'_, W, P>,
) -> Result<Notes, BatchError> {
    let (free, to_fill) = channel::<Box<Block>>();
    let (filled, to_score) = channel::<Box<Block>>();
    let (done, to_write) = channel::<Message>();
    for _ in 0..blocks {
        // The reader's end is still here.
        drop(free.send(Box::default()));
    }
    // The threads own all they use and end when their channels do. None is waited for: a reader
    // may hang on a pipe for ever while the job has failed.
    let to_score = Arc::new(Mutex::new(to_score));
    for mut worker in workers {
        let (to_score, done) = (Arc::clone(&to_score), done.clone());
        guarded(done.clone(), move || {
            while let Some(mut block) = next(&to_score) {
                worker.work(&mut block);
                if done.send(Message::Block(block)).is_err() {
                    break;
                }
            }
        });
    }
    guarded(done.clone(), move || {
        for mut block in to_fill {
            if !reader.fill(&mut block) {
                drop(done.send(Message::End(reader.notes)));
                return;
            }
            let failed = block.error.is_some();
            if filled.send(block).is_err() || failed {
                return;
            }
        }
    });
    collect(&to_write, &free, writer)
}

fn next(blocks: &Mutex<Receiver<Box<Block>>>) -> Option<Box<Block>> {
    blocks.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Runs `body` on a thread of its own. Its panic becomes the job's.
fn guarded(done: Sender<Message>, body: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
            drop(done.send(Message::Panic(panic)));
        }
    });
}

/// Writes blocks in their order and gives them back.
fn collect<W: Write, P: FnMut(u64)>(
    to_write: &Receiver<Message>,
    free: &Sender<Box<Block>>,
    writer: &mut Writer<'_, W, P>,
) -> Result<Notes, BatchError> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    let mut notes = Notes::default();
    // Ends when reader and workers have dropped their ends.
    for message in to_write {
        match message {
            Message::Block(block) => {
                waiting.insert(block.sequence, block);
            }
            Message::End(found) => notes = found,
            Message::Panic(panic) => resume_unwind(panic),
        }
        while let Some(mut block) = waiting.remove(&next) {
            next += 1;
            writer.take(&mut block)?;
            // A reader that has come to the end wants no more blocks.
            drop(free.send(block));
        }
    }
    Ok(notes)
}

/// The last station: output and counts.
struct Writer<'n, W, P> {
    output: W,
    /// Not written before something is known to stand below it: of an input that cannot be read
    /// nothing comes out.
    header: &'n [u8],
    progress: P,
    /// Of typed columns.
    encoder: Option<Encoder>,
    totals: Totals,
    /// The JSONL source being written, and the slots that its rows filled so far.
    jsonl: Option<(Arc<Plan>, Vec<bool>)>,
    names: &'n Names,
}

impl<W: Write, P: FnMut(u64)> Writer<'_, W, P> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BatchError> {
        self.output.write_all(bytes).map_err(|cause| BatchError::Write { cause })
    }

    fn write_header(&mut self) -> Result<(), BatchError> {
        let header = std::mem::take(&mut self.header);
        self.write(header)
    }

    fn take(&mut self, block: &mut Block) -> Result<(), BatchError> {
        if let Some(error) = block.error.take() {
            return Err(error);
        }
        self.write_header()?;
        let plan = block.plan.take();
        if let (Some(encoder), Some(table)) = (&mut self.encoder, block.table.take()) {
            let source_name = plan.as_ref().map_or("", |plan| &plan.source_name);
            let bytes = encoder.push(table, source_name)?;
            self.write(&bytes)?;
        }
        if !block.filled.is_empty()
            && let Some(plan) = plan
        {
            self.note_keys(plan, &block.filled)?;
        }
        self.totals.ignore(block.ignored.drain(..));
        let out = std::mem::take(&mut block.out);
        self.write(&out)?;
        block.out = out;
        self.totals.add(block.rows, &mut block.tally);
        (self.progress)(self.totals.rows());
        Ok(())
    }

    fn note_keys(&mut self, plan: Arc<Plan>, filled: &[bool]) -> Result<(), BatchError> {
        match &mut self.jsonl {
            Some((current, slots)) if Arc::ptr_eq(current, &plan) => {
                for (slot, filled) in slots.iter_mut().zip(filled) {
                    *slot |= filled;
                }
                Ok(())
            }
            _ => {
                self.end_source()?;
                self.jsonl = Some((plan, filled.to_vec()));
                Ok(())
            }
        }
    }

    /// Which columns a JSONL source lacks shows at its end.
    fn end_source(&mut self) -> Result<(), BatchError> {
        if let Some((plan, slots)) = self.jsonl.take()
            && let Some(missing) = self.names.check(&plan.source_name, &slots)?
        {
            self.totals.miss(missing);
        }
        Ok(())
    }

    fn finish(mut self, notes: Notes, form: &Form) -> Result<Summary, BatchError> {
        self.end_source()?;
        self.write_header()?;
        if let Some(encoder) = self.encoder.take() {
            let bytes = encoder.finish(|| form.schema(notes.kept))?;
            self.write(&bytes)?;
        }
        for missing in notes.missing {
            self.totals.miss(missing);
        }
        self.totals.ignore(notes.ignored);
        self.output.flush().map_err(|cause| BatchError::Write { cause })?;
        Ok(self.totals.into_summary(self.names.schema()))
    }
}
