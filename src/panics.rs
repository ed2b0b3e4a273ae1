//! Panics that may go no further: of a call from the BEAM, of a provider.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; a panic becomes an error that says what the panic said.
///
/// # Errors
/// That of `call`, or the panic's.
pub fn caught<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let words = words(&*panic);
        Err(format!(
            "the call failed, which is a mistake in Rendez: {words}"
        ))
    })
}

/// What a panic said.
#[must_use]
pub fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        assert_eq!(caught(|| Ok(1)), Ok(1));
        assert_eq!(caught::<()>(|| Err("no".into())), Err("no".into()));
        for (panic, said) in [
            (
                caught::<()>(|| panic!("index {} is off", 7)),
                "index 7 is off",
            ),
            (caught(|| panic!("plain")), "plain"),
            (caught(|| std::panic::panic_any(7)), "it does not say why"),
        ] {
            assert!(panic.unwrap_err().contains(said), "{said}");
        }
    }
}
