//! The log as files: whole, incremental, and never of anything but its checkpoint.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use social_wallet::log::checkpoint::Policy;
use social_wallet::log::tile::TilePath;
use social_wallet::publisher::export::{ExportError, Exported, Source, export};
use social_wallet::publisher::tree::{Published, TreeError, read_entries};
use social_wallet::store::Store;

use super::{Outside, in_both_rooms, write};
use crate::sequencer::serve;
use crate::store::Place;

in_both_rooms! {
    an_export_is_what_the_service_serves_and_the_next_writes_only_what_is_new,
    an_export_that_does_not_lead_to_the_checkpoint_leaves_the_directory_with_the_one_it_had,
}

struct FromStore {
    store: Arc<dyn Store>,
    /// Spoils a byte of the bundle of this index.
    spoil: Option<u64>,
    asked: Mutex<Vec<TilePath>>,
}

impl FromStore {
    fn of(store: &Arc<dyn Store>) -> Self {
        Self { store: Arc::clone(store), spoil: None, asked: Mutex::default() }
    }
}

#[async_trait]
impl Source for FromStore {
    type Error = TreeError;

    async fn checkpoint(&self) -> Result<Vec<u8>, TreeError> {
        Ok(self.store.published_checkpoint().await?.unwrap().note)
    }

    async fn entries(&self, path: TilePath) -> Result<Vec<u8>, TreeError> {
        self.asked.lock().unwrap().push(path);
        let mut bytes = read_entries(&*self.store, path).await?;
        if self.spoil == Some(path.index) {
            bytes[40] ^= 1;
        }
        Ok(bytes)
    }
}

/// Every file of a directory, by its path below it, with when it was written.
fn files(root: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                let written = std::fs::metadata(&path).unwrap().modified().unwrap();
                found.insert(name, (std::fs::read(&path).unwrap(), written));
            }
        }
    }
    found
}

async fn assert_is_the_log(root: &Path, store: &dyn Store, published: &Published) {
    let found = files(root);
    let mut expected = BTreeMap::from([("checkpoint".to_owned(), published.note.to_string().into_bytes())]);
    for path in Published::paths(published.size()) {
        expected.insert(path.to_string(), published.read(store, path).await.unwrap().unwrap());
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, (bytes, _)) in &found {
        assert!(*bytes == expected[name], "{name}");
    }
}

async fn an_export_is_what_the_service_serves_and_the_next_writes_only_what_is_new(place: &Place) {
    let outside = Outside::new();
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    let mut publisher = outside.open(&store).await.unwrap();
    let target = tempfile::tempdir().unwrap();
    let root = target.path().join("log");
    let mut before: BTreeMap<String, _> = BTreeMap::new();
    let (mut people, mut exported_entries) = (0, 0);
    for more in [3, 0, 250, 2, 300, 515] {
        write(&sequencer, people..people + more).await;
        people += more;
        publisher.step().await.unwrap();
        let published = publisher.published().borrow().clone().unwrap();
        let source = FromStore::of(&store);
        let mut told = 0;
        let done: Exported = export(&source, &root, |entries| told += entries).await.unwrap();
        assert_eq!(done.checkpoint, published.checkpoint);
        assert_eq!(
            (done.new_entries, told),
            (published.size() - exported_entries, published.size() - exported_entries)
        );
        assert_is_the_log(&root, &*store, &published).await;
        let after = files(&root);
        for (name, (_, written)) in
            before.iter().filter(|(name, _)| !name.contains(".p/") && *name != "checkpoint")
        {
            assert_eq!(after[name].1, *written, "{name} is not written again");
        }
        if more == 0 {
            assert_eq!((done.files_written, source.asked.lock().unwrap().len()), (0, 0));
        }
        exported_entries = published.size();
        before = after;
    }
    Policy::of_log(outside.vkey()).open(&before["checkpoint"].0).unwrap();
}

async fn an_export_that_does_not_lead_to_the_checkpoint_leaves_the_directory_with_the_one_it_had(
    place: &Place,
) {
    let outside = Outside::new();
    let store = place.open().await;
    let sequencer = serve(place.open().await).await;
    let mut publisher = outside.open(&store).await.unwrap();
    let target = tempfile::tempdir().unwrap();
    let root = target.path();
    write(&sequencer, 0..300).await;
    publisher.step().await.unwrap();
    export(&FromStore::of(&store), root, |_| {}).await.unwrap();
    let kept = files(root)["checkpoint"].0.clone();
    write(&sequencer, 300..900).await;
    publisher.step().await.unwrap();
    // Entries that were exported before, and entries that are new.
    for index in [1, 2] {
        let source = FromStore { spoil: Some(index), ..FromStore::of(&store) };
        let error = export(&source, root, |_| {}).await.unwrap_err();
        assert!(matches!(error, ExportError::OtherRoot), "{error}");
        assert_eq!(files(root)["checkpoint"].0, kept);
    }
    // The interrupted run's files are put right.
    export(&FromStore::of(&store), root, |_| {}).await.unwrap();
    let published = publisher.published().borrow().clone().unwrap();
    assert_is_the_log(root, &*store, &published).await;
    // A damaged directory, another log's, and one that is ahead.
    let checkpoint = files(root)["checkpoint"].0.clone();
    let tile = root.join("tile/0/001");
    let bytes = std::fs::read(&tile).unwrap();
    std::fs::write(&tile, [&[bytes[0] ^ 1], &bytes[1..]].concat()).unwrap();
    write(&sequencer, 900..910).await;
    publisher.step().await.unwrap();
    let error = export(&FromStore::of(&store), root, |_| {}).await.unwrap_err();
    assert!(matches!(error, ExportError::Damaged), "{error}");
    std::fs::write(&tile, bytes).unwrap();
    let text = String::from_utf8(checkpoint).unwrap();
    let size = published.size().to_string();
    std::fs::write(root.join("checkpoint"), text.replacen(&size, "99999", 1)).unwrap();
    let error = export(&FromStore::of(&store), root, |_| {}).await.unwrap_err();
    assert!(matches!(error, ExportError::Shrunk { found: 99_999, .. }), "{error}");
    std::fs::write(root.join("checkpoint"), text.replacen('\n', "/2\n", 1)).unwrap();
    let error = export(&FromStore::of(&store), root, |_| {}).await.unwrap_err();
    assert!(matches!(error, ExportError::OtherLog { .. }), "{error}");
}
