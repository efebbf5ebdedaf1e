//! One hostile input: loaded, and scored if it loads.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use stemson_mojo::LoadOptions;

use super::exercise::exercise;
use super::memory::{self, Usage};

/// How it ended, in a word or two.
pub(super) struct Trial {
    /// `answered`, or the kind of the refusal.
    pub(super) outcome: String,
    pub(super) panicked: bool,
    pub(super) usage: Usage,
}

/// Never panics itself. `case`: for the last words of a process that runs out of memory.
pub(super) fn run(case: u64, bytes: &[u8], quirks: bool) -> Trial {
    listen_for_panics();
    PANIC.set(Some(String::new()));
    let load = LoadOptions { genmodel_quirks: quirks, ..LoadOptions::default() };
    let (result, usage) =
        memory::measure(case, || catch_unwind(AssertUnwindSafe(|| exercise(bytes, &load))));
    let message = PANIC.take().unwrap_or_default();
    match result {
        Ok(outcome) => Trial { outcome: outcome.to_owned(), panicked: false, usage },
        Err(_) => Trial { outcome: message, panicked: true, usage },
    }
}

thread_local! {
    /// What the panic said, on threads that wait for one.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics on other threads are printed as always.
fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let heard = PANIC.with_borrow_mut(|panic| {
                let Some(text) = panic else { return false };
                *text = info.to_string().replace('\n', " ");
                true
            });
            if !heard {
                print(info);
            }
        }));
    });
}
