//! Readers and writers that block.

use std::io::{Error, Read, Result, Write};

use tidegate_core::{Timer, Wait};

use super::{Throttled, refund::Refund};
use crate::{algorithm::Algorithm, limiter::Limiter};

/// Waits for one token, and takes up to `n`.
fn pay<A: Algorithm, C: Timer>(limiter: &Limiter<A, C>, n: usize) -> Result<Refund<'_, A, C>> {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    limiter.acquire_up_to(n).wait().map(|grant| Refund::new(limiter, grant)).map_err(Error::other)
}

/// Each call of `Read` or `Write` holds its tokens while the inner reader or writer blocks. If many
/// readers or writers with slow peers share a limiter, use one of the asynchronous forms.
impl<A: Algorithm, C: Timer, T: Read> Read for Throttled<'_, T, A, C> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return self.inner.read(buf);
        }
        let refund = pay(self.limiter, buf.len())?;
        let read = self.inner.read(&mut buf[..refund.tokens()]);
        refund.settle(*read.as_ref().unwrap_or(&0));
        read
    }
}

impl<A: Algorithm, C: Timer, T: Write> Write for Throttled<'_, T, A, C> {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        if buf.is_empty() {
            return self.inner.write(buf);
        }
        let refund = pay(self.limiter, buf.len())?;
        let written = self.inner.write(&buf[..refund.tokens()]);
        refund.settle(*written.as_ref().unwrap_or(&0));
        written
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}
