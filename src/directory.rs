//! Whose a key is, for every request: in memory, and true also when another replica has changed it.
//!
//! Memory is trusted for [`FRESH_MAX`] at most, and not at all once this process's writer has seen a later change. Whether
//! there is a later one is the look-up of one number; the clients themselves are read again only if there is. A key that is
//! not known may have been added a moment ago: then the store is asked, at most once in [`UNKNOWN_FRESH_MAX`], whatever is
//! sent. If the store does not answer, no key is served.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ed25519_dalek::VerifyingKey;
use tokio::sync::{Mutex, watch};

use crate::domain::{Client, KeyId, PublicKey};
use crate::ledger::registry::Registry;
use crate::store::{Store, StoreError};

/// How long after its entry's commit by another replica a revoked key, or a suspended client, may still be served.
pub const FRESH_MAX: Duration = Duration::from_secs(1);

/// How soon after the store was asked it is asked again for a key that is not known.
pub const UNKNOWN_FRESH_MAX: Duration = Duration::from_millis(100);

/// Whose a key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The client, suspended or not.
    pub client: Client,
    /// The key. It is not revoked.
    pub public_key: PublicKey,
    /// The same, ready to verify: unpacking a key takes a tenth of the time of verifying with it.
    pub verifying_key: VerifyingKey,
}

/// Who has which key, as of the newest change.
struct Holders {
    newest: Option<u64>,
    by_key: HashMap<KeyId, Holder>,
}

impl Holders {
    fn of(registry: &Registry) -> Self {
        let mut by_key = HashMap::new();
        for known in registry.clients() {
            for key in known.live_keys() {
                // A `PublicKey` is a point of the curve: it was parsed.
                if let Ok(verifying_key) = VerifyingKey::from_bytes(key.public_key.as_bytes()) {
                    let (client, public_key) = (known.client, key.public_key);
                    by_key.insert(key.id, Holder { client, public_key, verifying_key });
                }
            }
        }
        Self { newest: registry.newest(), by_key }
    }
}

/// What was read, and when that began.
struct Known {
    holders: Arc<Holders>,
    asked: Instant,
}

/// The clients and their keys.
pub struct Directory {
    store: Arc<dyn Store>,
    /// The newest change that the writer of this process has seen.
    seen: watch::Receiver<Option<u64>>,
    fresh_max: [Duration; 2],
    known: RwLock<Arc<Known>>,
    asking: Mutex<()>,
}

impl Directory {
    /// Reads the clients. `seen` is [`crate::sequencer::Sequencer::registry`].
    pub async fn open(store: Arc<dyn Store>, seen: watch::Receiver<Option<u64>>) -> Result<Self, StoreError> {
        Self::with_freshness(store, seen, FRESH_MAX, UNKNOWN_FRESH_MAX).await
    }

    /// The same with other bounds: how long memory is trusted for a key that is known, and for one that is not.
    pub async fn with_freshness(
        store: Arc<dyn Store>,
        seen: watch::Receiver<Option<u64>>,
        known_max: Duration,
        unknown_max: Duration,
    ) -> Result<Self, StoreError> {
        let asked = Instant::now();
        let holders = Arc::new(Holders::of(&Registry::of(&store.registry_changes().await?)));
        let known = RwLock::new(Arc::new(Known { holders, asked }));
        Ok(Self { store, seen, fresh_max: [known_max, unknown_max], known, asking: Mutex::new(()) })
    }

    /// Whose key this is; `None`: nobody's, or it is revoked.
    pub async fn find(&self, id: &KeyId) -> Result<Option<Holder>, StoreError> {
        let [known_max, unknown_max] = self.fresh_max;
        let known = self.known();
        let found = known.holders.by_key.get(id).copied();
        let bound = if found.is_some() { known_max } else { unknown_max };
        if self.is_fresh(&known, bound) {
            return Ok(found);
        }
        let _asking = self.asking.lock().await;
        let known = self.known();
        // Somebody else may have asked in the meantime.
        if self.is_fresh(&known, bound) {
            return Ok(known.holders.by_key.get(id).copied());
        }
        let asked = Instant::now();
        let holders = if self.store.registry_seq().await? == known.holders.newest {
            Arc::clone(&known.holders)
        } else {
            Arc::new(Holders::of(&Registry::of(&self.store.registry_changes().await?)))
        };
        let known = Arc::new(Known { holders, asked });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&known);
        Ok(known.holders.by_key.get(id).copied())
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_fresh(&self, known: &Known, bound: Duration) -> bool {
        known.asked.elapsed() < bound && *self.seen.borrow() <= known.holders.newest
    }
}
