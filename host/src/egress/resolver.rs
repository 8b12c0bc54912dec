//! Looks names up, and gives the client only addresses that the guard lets through.
//!
//! Invariant: one look-up for one connection; what it gave is what is connected to. A name that answers differently the
//! second time is not asked a second time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::guard::{Guard, Refusal};

/// Look-ups at once: each holds a thread of the runtime until the system's resolver gives up, however slow the name's
/// servers choose to be.
const LOOKUPS_MAX: usize = 32;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

pub(super) type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// How a name is looked up: by the system, or by a test's table.
pub(super) type Lookup = fn(String) -> Found;

#[derive(Debug, Clone)]
pub(super) struct GuardedResolver {
    guard: Guard,
    lookup: Lookup,
    lookups: Arc<Semaphore>,
}

impl GuardedResolver {
    pub(super) fn new(guard: Guard, lookup: Lookup) -> Self {
        Self { guard, lookup, lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }

    async fn permitted(self, name: String) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let Self { guard, lookup, lookups } = self;
        guard.judge_name(&name)?;
        let permit = lookups.acquire_owned().await?;
        let asked = name.clone();
        // In a task of its own: where the caller gives up, the thread is still taken, and the permit with it.
        let found = tokio::spawn(async move {
            let found = lookup(asked).await;
            drop(permit);
            found
        });
        let found = found.await??;
        let (mut permitted, mut refused) = (Vec::new(), None);
        for address in found.into_iter().take(ADDRESSES_MAX) {
            match guard.judge_address(address.ip()) {
                Ok(()) => permitted.push(address),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match (permitted.is_empty(), refused) {
            (false, _) => Ok(permitted),
            (true, Some(Refusal { what, why })) => Err(Refusal { what: format!("{name} ({what})"), why }.into()),
            (true, None) => Err(format!("{name} has no address").into()),
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, name) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let addresses: Addrs = Box::new(resolver.permitted(name).await?.into_iter());
            Ok(addresses)
        })
    }
}

/// The system's resolver.
pub(super) fn system(name: String) -> Found {
    Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
}
