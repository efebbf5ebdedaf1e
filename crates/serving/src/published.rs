//! A pointer that readers follow without waiting, and the notes of those who move it.
//!
//! Readers see one value whole, never parts of two. Movers come one after another; each writes down
//! what it does before anybody can see it, so what was seen is written down.

use super::sync::{Arc, Mutex, MutexGuard, Pointer, PoisonError};

/// A value with the notes of its changes.
#[derive(Debug)]
pub(crate) struct Published<T, N> {
    pointer: Pointer<T>,
    notes: Mutex<N>,
}

impl<T, N> Published<T, N> {
    pub(crate) fn new(value: T, notes: N) -> Self {
        Self { pointer: Pointer::from_pointee(value), notes: Mutex::new(notes) }
    }

    /// The value as it is now.
    pub(crate) fn load(&self) -> Arc<T> {
        self.pointer.load_full()
    }

    /// Looks at the value without holding it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.pointer.load())
    }

    /// The notes; whoever holds them is the only one who moves the pointer.
    pub(crate) fn notes(&self) -> MutexGuard<'_, N> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change down, then makes it visible. If it cannot be written, it is not made.
    pub(crate) fn publish<E>(
        &self,
        mut notes: MutexGuard<'_, N>,
        value: T,
        write: impl FnOnce(&mut N) -> Result<(), E>,
    ) -> Result<Arc<T>, E> {
        write(&mut notes)?;
        let value = Arc::new(value);
        self.pointer.store(Arc::clone(&value));
        Ok(value)
    }
}
