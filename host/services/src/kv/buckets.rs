//! The buckets by name, over changes of the configuration.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::memory;
use super::store::Store;
use super::{Operation, Request};
use crate::ask::{Answer, ServiceError};
use crate::runtime::Runtime;
use crate::samples::{BucketSample, Counted, StoreSample};
use crate::settings::{BucketSettings, Settings};

/// All buckets and stores.
#[derive(Debug)]
pub struct Buckets {
    present: ArcSwap<Present>,
    /// Held by whoever replaces what is present.
    changing: Mutex<()>,
    runtime: Runtime,
}

#[derive(Clone, Debug, Default)]
struct Present {
    buckets: HashMap<String, Arc<Bucket>>,
    stores: BTreeMap<String, Arc<Store>>,
}

/// What changed settings make of the buckets.
#[derive(Debug)]
pub struct Prepared {
    before: Arc<Present>,
    next: Present,
    bounds: BTreeMap<String, BucketSettings>,
}

impl Prepared {
    /// Whether operations at this bucket will go over the network.
    pub fn is_remote(&self, bucket: &str) -> bool {
        self.next.is_remote(bucket)
    }
}

impl Present {
    fn is_remote(&self, bucket: &str) -> bool {
        self.buckets.get(bucket).is_some_and(|bucket| matches!(bucket.place, Place::Store(..)))
    }
}

#[derive(Debug)]
struct Bucket {
    place: Place,
    counted: Counted,
}

#[derive(Debug)]
enum Place {
    Memory(Box<memory::Bucket>),
    Store(String, Arc<Store>),
}

impl Buckets {
    pub(crate) fn new(settings: &Settings, runtime: Runtime) -> Result<Self, String> {
        let buckets = Self { present: ArcSwap::default(), changing: Mutex::new(()), runtime };
        buckets.adopt(buckets.prepare(settings)?);
        Ok(buckets)
    }

    /// What other settings make of this: buckets in memory keep what they hold as long as their names stay, and stores whose settings stay keep
    /// their connections. Nothing has changed until it is adopted.
    ///
    /// # Errors
    /// A store cannot be used, or there is none of the name that a bucket says.
    pub fn prepare(&self, settings: &Settings) -> Result<Prepared, String> {
        let _changing = self.lock();
        let before = self.present.load_full();
        let mut next = Present::default();
        for (name, settings) in &settings.stores {
            let store = match before.stores.get(name).filter(|store| store.settings() == settings) {
                Some(store) => Arc::clone(store),
                None => {
                    let made = Store::new(name, settings.clone(), self.runtime.clone());
                    Arc::new(made.map_err(|why| format!("[store.{name}]: {why}"))?)
                }
            };
            next.stores.insert(name.clone(), store);
        }
        for (name, settings) in &settings.buckets {
            let bucket = bucket(before.buckets.get(name), name, settings, &next.stores)?;
            next.buckets.insert(name.clone(), bucket);
        }
        Ok(Prepared { before, next, bounds: settings.buckets.clone() })
    }

    /// Lets the buckets answer that there were not before, so that plugins of the new settings find them; all others stay as they are.
    pub fn offer(&self, prepared: &Prepared) {
        let _changing = self.lock();
        let mut present = Present::clone(&prepared.before);
        for (name, bucket) in &prepared.next.buckets {
            present.buckets.entry(name.clone()).or_insert_with(|| Arc::clone(bucket));
        }
        self.present.store(Arc::new(present));
    }

    /// All is as it was before that was offered.
    pub fn withdraw(&self, prepared: Prepared) {
        let _changing = self.lock();
        self.present.store(prepared.before);
    }

    /// The new settings count.
    pub fn adopt(&self, prepared: Prepared) {
        let _changing = self.lock();
        for (name, settings) in &prepared.bounds {
            if let Some(Place::Memory(memory)) = prepared.next.buckets.get(name).map(|bucket| &bucket.place) {
                memory.bound(settings.entries, settings.octets);
            }
        }
        self.present.store(Arc::new(prepared.next));
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what is asked of a bucket. One that the settings do not have is in memory, with the defaults.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub fn run(&self, request: Request, now: Instant, within: Duration) -> Result<Answer, ServiceError> {
        let Request { bucket, key, operation } = request;
        let found = self.present.load().buckets.get(&bucket).cloned();
        let found = found.unwrap_or_else(|| self.add(&bucket));
        let begun = Instant::now();
        let answer = found.run(&bucket, &key, operation, now, within);
        found.counted.note(begun.elapsed(), &answer);
        answer
    }

    /// Whether an operation at this bucket goes over the network.
    pub fn is_remote(&self, bucket: &str) -> bool {
        self.present.load().is_remote(bucket)
    }

    fn add(&self, name: &str) -> Arc<Bucket> {
        let _changing = self.lock();
        let before = self.present.load_full();
        if let Some(bucket) = before.buckets.get(name) {
            return Arc::clone(bucket);
        }
        let settings = BucketSettings::default();
        let place = Place::Memory(Box::new(memory::Bucket::new(settings.entries, settings.octets)));
        let bucket = Arc::new(Bucket { place, counted: Counted::default() });
        let mut present = Present::clone(&before);
        present.buckets.insert(name.to_owned(), Arc::clone(&bucket));
        self.present.store(Arc::new(present));
        bucket
    }

    pub(crate) fn samples(&self) -> (Vec<BucketSample>, Vec<StoreSample>) {
        let present = self.present.load();
        let mut buckets: Vec<_> = present.buckets.iter().map(|(name, bucket)| bucket.sample(name)).collect();
        buckets.sort_by(|one, other| one.name.cmp(&other.name));
        let store =
            |(name, store): (&String, &Arc<Store>)| StoreSample { name: name.clone(), up: store.is_up(), under_way: store.under_way() };
        (buckets, present.stores.iter().map(store).collect())
    }
}

/// The bucket that there was, if it can go on under these settings, or a new one.
fn bucket(
    before: Option<&Arc<Bucket>>,
    name: &str,
    settings: &BucketSettings,
    stores: &BTreeMap<String, Arc<Store>>,
) -> Result<Arc<Bucket>, String> {
    let new = |place| Arc::new(Bucket { place, counted: Counted::default() });
    let Some(wanted) = &settings.store else {
        let kept = before.filter(|bucket| matches!(bucket.place, Place::Memory(_)));
        let fresh = || new(Place::Memory(Box::new(memory::Bucket::new(settings.entries, settings.octets))));
        return Ok(kept.map_or_else(fresh, Arc::clone));
    };
    let store = stores.get(wanted).ok_or_else(|| format!("[kv.{name}]: there is no [store.{wanted}]"))?;
    let same = |bucket: &&Arc<Bucket>| matches!(&bucket.place, Place::Store(_, before) if Arc::ptr_eq(before, store));
    Ok(before.filter(same).map_or_else(|| new(Place::Store(wanted.clone(), Arc::clone(store))), Arc::clone))
}

impl Bucket {
    fn run(&self, name: &str, key: &str, operation: Operation, now: Instant, within: Duration) -> Result<Answer, ServiceError> {
        match &self.place {
            Place::Memory(memory) => memory.run(key, operation, now),
            Place::Store(_, store) => store.run(name, key, operation, within),
        }
    }

    fn sample(&self, name: &str) -> BucketSample {
        let (store, entries, octets) = match &self.place {
            Place::Memory(memory) => (None, memory.entries(), memory.octets()),
            Place::Store(store, _) => (Some(store.clone()), 0, 0),
        };
        BucketSample { name: name.to_owned(), store, counts: self.counted.counts(), entries, octets }
    }
}
