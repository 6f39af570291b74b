//! The tree: RFC 6962 hashes, its growing edge, and proofs.
//!
//! Everything here is arithmetic over hashes that the caller already holds. Reading is split from proving so that
//! a store may fetch what a proof needs in one statement: [`inclusion_nodes`] and [`consistency_nodes`] name the
//! nodes, a [`NodeSource`] answers for them, [`inclusion_proof`] and [`consistency_proof`] put them together.
//!
//! The verifiers need no tree. They know the exact length of a proof from the sizes alone, refuse any other, and
//! every node they accept enters a root that is compared: nothing in a proof is left unchecked.

use std::ops::Range;

use sha2::{Digest, Sha256};

/// A SHA-256 hash: of a leaf, of an inner node, or the root of a tree.
pub type Hash = [u8; HASH_BYTES];

/// The length of a [`Hash`] in bytes.
pub const HASH_BYTES: usize = 32;

/// The largest tree, in leaves. Stores and most other implementations of the format keep sizes in signed 64 bits.
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// Hashes the bytes of one leaf: SHA-256(0x00 ‖ leaf), RFC 6962 section 2.1.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0x00]).chain_update(leaf).finalize().into()
}

/// Hashes two children into their parent: SHA-256(0x01 ‖ left ‖ right), RFC 6962 section 2.1.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // One buffer and one call: this runs once per leaf, and three small updates cost more than the copy.
    let mut input = [0x01; 1 + 2 * HASH_BYTES];
    input[1..=HASH_BYTES].copy_from_slice(left);
    input[1 + HASH_BYTES..].copy_from_slice(right);
    Sha256::digest(input).into()
}

/// The root of the tree without leaves: SHA-256 of the empty string, RFC 6962 section 2.1.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// A perfect subtree: the leaves from `index · 2^height` up to, not including, `(index + 1) · 2^height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Levels above the leaves; a leaf has height 0.
    pub height: u8,
    /// How many subtrees of this height stand to the left.
    pub index: u64,
}

/// Why a frontier's bytes were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// There are not even the eight bytes of the size.
    #[error("a frontier starts with a size of 8 bytes, and there are {actual} bytes in all")]
    NoSize {
        /// The length of what was given, in bytes.
        actual: usize,
    },
    /// The size is beyond [`SIZE_MAX`].
    #[error("a tree of {size} leaves is beyond the limit of {SIZE_MAX}")]
    TooLarge {
        /// The size that the bytes name, in leaves.
        size: u64,
    },
    /// The number of hash bytes is not the one that the size implies.
    #[error("a frontier of {size} leaves has {expected} bytes of hashes, not {actual}")]
    Length {
        /// The size that the bytes name, in leaves.
        size: u64,
        /// 32 bytes for each set bit of the size.
        expected: usize,
        /// What follows the size, in bytes.
        actual: usize,
    },
}

/// The right edge of a tree: the roots of its perfect subtrees, and nothing else.
///
/// This is all that appending and the root need, at most 63 hashes, so it is what a commit stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One root for each set bit of the size, the largest subtree first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the tree without leaves.
    #[must_use]
    pub fn empty() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf, given its [`leaf_hash`].
    pub fn push(&mut self, leaf_hash: Hash) {
        self.push_observed(leaf_hash, |_, _| ());
    }

    /// Appends one leaf and shows every perfect subtree that it completes, from the leaf itself upwards.
    ///
    /// The size cannot overflow: it starts at most at [`SIZE_MAX`], and nobody lives to append 2^63 leaves more.
    pub(super) fn push_observed(&mut self, leaf_hash: Hash, mut completed: impl FnMut(Node, &Hash)) {
        let mut hash = leaf_hash;
        let mut height = 0_u8;
        completed(Node { height, index: self.size }, &hash);
        // As in binary addition: each trailing one of the size is a subtree that the carry closes.
        while (self.size >> height) & 1 == 1 {
            let left = self.peaks.pop().expect("there is a peak for each set bit of the size");
            hash = node_hash(&left, &hash);
            height += 1;
            completed(Node { height, index: self.size >> height }, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree, RFC 6962 section 2.1.
    #[must_use]
    pub fn root(&self) -> Hash {
        join_peaks(&self.peaks).unwrap_or_else(empty_root)
    }

    /// The roots of the perfect subtrees, the largest first.
    pub(super) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The one encoding: the size as a big-endian u64, then the roots of the perfect subtrees, the largest first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.size.to_be_bytes(), self.peaks.as_flattened()].concat()
    }

    /// Reads what [`Frontier::to_bytes`] wrote, and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let (size, hashes) =
            bytes.split_first_chunk().ok_or(FrontierError::NoSize { actual: bytes.len() })?;
        let size = u64::from_be_bytes(*size);
        if size > SIZE_MAX {
            return Err(FrontierError::TooLarge { size });
        }
        let (peaks, rest) = hashes.as_chunks::<HASH_BYTES>();
        let expected = set_bits(size);
        if peaks.len() != expected || !rest.is_empty() {
            let expected = expected * HASH_BYTES;
            return Err(FrontierError::Length { size, expected, actual: hashes.len() });
        }
        Ok(Self { size, peaks: peaks.to_vec() })
    }
}

/// Why a proof could not be made, or does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The tree has no such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexOutOfRange {
        /// The leaf asked for, counted from 0.
        index: u64,
        /// The size of the tree, in leaves.
        size: u64,
    },
    /// The older tree is larger than the newer one.
    #[error("a tree of {old} leaves cannot have grown into one of {new}")]
    Shrunk {
        /// The older size, in leaves.
        old: u64,
        /// The newer size, in leaves.
        new: u64,
    },
    /// The source of nodes does not have a node that the proof needs.
    #[error("the node at height {}, index {} is missing", .0.height, .0.index)]
    MissingNode(Node),
    /// The proof has more or fewer nodes than these sizes allow.
    #[error("the proof must have {expected} nodes, not {actual}")]
    Length {
        /// The number of nodes that the sizes imply.
        expected: usize,
        /// The number of nodes given.
        actual: usize,
    },
    /// The proof does not lead to the root, or to the newer of two roots.
    #[error("the proof does not lead to the root")]
    RootMismatch,
    /// The proof does not lead to the older of two roots.
    #[error("the proof does not lead to the older root")]
    OldRootMismatch,
}

/// Where the prover finds the hashes of perfect subtrees.
pub trait NodeSource {
    /// The hash of a perfect subtree, or `None` if it is not at hand.
    fn node(&self, node: Node) -> Option<Hash>;
}

/// The nodes that [`inclusion_proof`] will ask for.
pub fn inclusion_nodes(size: u64, index: u64) -> Result<Vec<Node>, ProofError> {
    Ok(inclusion_spans(size, index)?.into_iter().flat_map(span_nodes).collect())
}

/// The nodes that [`consistency_proof`] will ask for.
pub fn consistency_nodes(old_size: u64, new_size: u64) -> Result<Vec<Node>, ProofError> {
    Ok(consistency_spans(old_size, new_size)?.into_iter().flat_map(span_nodes).collect())
}

/// Proves that leaf `index` is in the tree of `size` leaves: PATH of RFC 6962 section 2.1.1, lowest node first.
pub fn inclusion_proof(size: u64, index: u64, source: &impl NodeSource) -> Result<Vec<Hash>, ProofError> {
    inclusion_spans(size, index)?.into_iter().map(|span| span_hash(span, source)).collect()
}

/// Proves that the tree of `new_size` leaves starts with the tree of `old_size`: PROOF of RFC 6962 section 2.1.2.
///
/// Equal sizes, and an old size of 0, have the empty proof.
pub fn consistency_proof(
    old_size: u64,
    new_size: u64,
    source: &impl NodeSource,
) -> Result<Vec<Hash>, ProofError> {
    consistency_spans(old_size, new_size)?.into_iter().map(|span| span_hash(span, source)).collect()
}

/// Checks that a leaf stands at `index` in the tree of `size` leaves with this root (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let (turns, lefts) = path_shape(index, size - 1);
    check_length(proof, turns + lefts)?;
    let (inner, border) = proof.split_at(turns);
    if climb_left(climb(*leaf_hash, inner, index), border) == *root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// Checks that the tree behind `new_root` starts with the tree behind `old_root` (RFC 9162 section 2.1.4.2).
///
/// Every tree starts with the empty one: from an old size of 0 nothing is learned of the new root.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    if old_size == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRootMismatch);
    }
    if old_size == new_size || old_size == 0 {
        check_length(proof, 0)?;
        return if old_size == new_size && old_root != new_root {
            Err(ProofError::RootMismatch)
        } else {
            Ok(())
        };
    }

    // The climb starts at the last perfect subtree of the old tree. Its root is the first node of the proof,
    // unless that subtree is the whole old tree: then the verifier has it already.
    let bottom = old_size.trailing_zeros();
    let last = (old_size - 1) >> bottom;
    let (turns, lefts) = path_shape(last, (new_size - 1) >> bottom);
    let start_given = !old_size.is_power_of_two();
    check_length(proof, usize::from(start_given) + turns + lefts)?;
    let (start, path) = match proof {
        [start, path @ ..] if start_given => (start, path),
        path => (old_root, path),
    };
    let (inner, border) = path.split_at(turns);

    // The old tree ends at this subtree, so that only the nodes to its left belong to the old root.
    let old_inner = inner.iter().enumerate().filter(|(height, _)| (last >> height) & 1 == 1);
    let old_start = old_inner.fold(*start, |right, (_, left)| node_hash(left, &right));
    if climb_left(old_start, border) != *old_root {
        return Err(ProofError::OldRootMismatch);
    }
    if climb_left(climb(*start, inner, last), border) != *new_root {
        return Err(ProofError::RootMismatch);
    }
    Ok(())
}

/// The shape of the path from node `index` to the root of a row whose last node is `last`: first the nodes below
/// the point where the ways of the two part, on either side; then the nodes above it, all on the left.
fn path_shape(index: u64, last: u64) -> (usize, usize) {
    let turns = u64::BITS - (index ^ last).leading_zeros();
    let above = index.checked_shr(turns).unwrap_or(0);
    (turns as usize, set_bits(above))
}

/// Climbs along siblings whose side is told by the bits of `index`.
fn climb(start: Hash, siblings: &[Hash], index: u64) -> Hash {
    siblings.iter().enumerate().fold(start, |hash, (height, sibling)| {
        if (index >> height) & 1 == 1 { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) }
    })
}

/// Climbs along siblings that are all on the left.
fn climb_left(start: Hash, siblings: &[Hash]) -> Hash {
    siblings.iter().fold(start, |hash, sibling| node_hash(sibling, &hash))
}

fn check_length(proof: &[Hash], expected: usize) -> Result<(), ProofError> {
    if proof.len() == expected { Ok(()) } else { Err(ProofError::Length { expected, actual: proof.len() }) }
}

/// The ranges of leaves whose tree hashes make an inclusion proof, lowest first.
fn inclusion_spans(size: u64, index: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let mut spans = Vec::new();
    let mut here = 0..size;
    while here.end - here.start > 1 {
        let middle = split(&here);
        if index < middle {
            spans.push(middle..here.end);
            here.end = middle;
        } else {
            spans.push(here.start..middle);
            here.start = middle;
        }
    }
    spans.reverse();
    Ok(spans)
}

/// The ranges of leaves whose tree hashes make a consistency proof, lowest first.
fn consistency_spans(old_size: u64, new_size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if old_size > new_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    if old_size == 0 {
        return Ok(Vec::new());
    }
    let mut spans = Vec::new();
    let mut here = 0..new_size;
    while here.end != old_size {
        let middle = split(&here);
        if old_size <= middle {
            spans.push(middle..here.end);
            here.end = middle;
        } else {
            spans.push(here.start..middle);
            here.start = middle;
        }
    }
    // What remains is the last perfect subtree of the old tree; if it is the whole old tree, its root is known.
    if here.start > 0 {
        spans.push(here);
    }
    spans.reverse();
    Ok(spans)
}

/// Where RFC 6962 splits a range of at least two leaves: after the largest power of two that leaves something.
fn split(span: &Range<u64>) -> u64 {
    span.start + (1 << (span.end - span.start - 1).ilog2())
}

/// The perfect subtrees of a range that [`split`] made, the largest first.
fn span_nodes(span: Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut start = span.start;
    while start < span.end {
        let height = (span.end - start).ilog2();
        let height = u8::try_from(height).expect("the logarithm of a u64 is below 64");
        nodes.push(Node { height, index: start >> height });
        start += 1 << height;
    }
    nodes
}

/// The tree hash of a range that [`split`] made.
fn span_hash(span: Range<u64>, source: &impl NodeSource) -> Result<Hash, ProofError> {
    let peaks = span_nodes(span)
        .into_iter()
        .map(|node| source.node(node).ok_or(ProofError::MissingNode(node)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(join_peaks(&peaks).expect("a range that was split off has at least one leaf"))
}

/// The root over perfect subtrees, the largest first; `None` if there are none.
fn join_peaks(peaks: &[Hash]) -> Option<Hash> {
    peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}

fn set_bits(number: u64) -> usize {
    number.count_ones() as usize
}

/// The definition of the tree, word for word and slow: what the tests of this room compare with.
#[cfg(test)]
pub(super) mod oracle {
    use super::{Hash, Node, NodeSource, empty_root, leaf_hash, node_hash};

    /// The hashes of `count` different leaves.
    pub fn leaf_hashes(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    /// The largest power of two below a count of at least two.
    fn half(count: usize) -> usize {
        count.next_power_of_two() / 2
    }

    /// MTH of RFC 6962 section 2.1.
    pub fn tree_hash(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(half(leaves.len()));
                node_hash(&tree_hash(left), &tree_hash(right))
            }
        }
    }

    /// PATH of RFC 6962 section 2.1.1.
    pub fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(half(leaves.len()));
        let (mut path, sibling) = if index < left.len() {
            (path(index, left), right)
        } else {
            (path(index - left.len(), right), left)
        };
        path.push(tree_hash(sibling));
        path
    }

    /// SUBPROOF of RFC 6962 section 2.1.2; PROOF is the one with `whole` true.
    pub fn subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if whole { Vec::new() } else { vec![tree_hash(leaves)] };
        }
        let (left, right) = leaves.split_at(half(leaves.len()));
        let (mut proof, sibling) = if old <= left.len() {
            (subproof(old, left, whole), right)
        } else {
            (subproof(old - left.len(), right, false), left)
        };
        proof.push(tree_hash(sibling));
        proof
    }

    /// Leaf hashes as the source of all nodes above them.
    pub struct Leaves(pub Vec<Hash>);

    impl NodeSource for Leaves {
        fn node(&self, node: Node) -> Option<Hash> {
            let width = 1 << node.height;
            let start = usize::try_from(node.index).ok()? * width;
            self.0.get(start..start + width).map(tree_hash)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    use super::oracle::{Leaves, leaf_hashes, path, subproof, tree_hash};
    use super::*;

    /// The test tree of the Certificate Transparency project, published with transparency-dev/merkle as well.
    const PUBLISHED_LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

    /// Its published roots, for sizes from 0.
    const PUBLISHED_ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    const NODE_0_1: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
    const NODE_0_3: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
    const NODE_2_3: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const NODE_4_5: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    const NODE_4_7: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
    const NODE_6_7: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const LEAF_0: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    const LEAF_1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const LEAF_4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";

    fn published_leaf_hashes() -> Vec<Hash> {
        PUBLISHED_LEAVES.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect()
    }

    fn hex_of(hashes: &[Hash]) -> Vec<String> {
        hashes.iter().map(hex::encode).collect()
    }

    fn frontier_of(leaf_hashes: &[Hash]) -> Frontier {
        let mut frontier = Frontier::empty();
        for leaf in leaf_hashes {
            frontier.push(*leaf);
        }
        frontier
    }

    fn as_size(count: usize) -> u64 {
        u64::try_from(count).unwrap()
    }

    /// The same proof with one bit of one node flipped, once for each node.
    fn flipped(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> + '_ {
        (0..proof.len()).map(|node| {
            let mut proof = proof.to_vec();
            proof[node][node % HASH_BYTES] ^= 1 << (node % 8);
            proof
        })
    }

    /// The same proof with a node too few or too many, at every place.
    fn resized(proof: &[Hash]) -> Vec<Vec<Hash>> {
        let shorter = (0..proof.len()).map(|node| [&proof[..node], &proof[node + 1..]].concat());
        let longer = (0..=proof.len()).map(|node| [&proof[..node], &[[0; 32]], &proof[node..]].concat());
        shorter.chain(longer).collect()
    }

    #[test]
    fn the_published_tree_has_its_published_roots() {
        let mut frontier = Frontier::empty();
        assert_eq!(hex::encode(frontier.root()), PUBLISHED_ROOTS[0]);
        for (leaf, root) in published_leaf_hashes().into_iter().zip(&PUBLISHED_ROOTS[1..]) {
            frontier.push(leaf);
            assert_eq!(hex::encode(frontier.root()), *root, "size {}", frontier.size());
        }
    }

    #[test]
    fn the_published_inclusion_proofs_are_made_and_hold() {
        let published: [(u64, u64, &[&str]); 7] = [
            (1, 0, &[]),
            (2, 0, &[LEAF_1]),
            (2, 1, &[LEAF_0]),
            (3, 2, &[NODE_0_1]),
            (5, 1, &[LEAF_0, NODE_2_3, LEAF_4]),
            (8, 0, &[LEAF_1, NODE_2_3, NODE_4_7]),
            (8, 5, &[LEAF_4, NODE_6_7, NODE_0_3]),
        ];
        let leaves = Leaves(published_leaf_hashes());
        for (size, index, expected) in published {
            let proof = inclusion_proof(size, index, &leaves).unwrap();
            assert_eq!(hex_of(&proof), expected, "leaf {index} in {size}");
            let (at, end) = (usize::try_from(index).unwrap(), usize::try_from(size).unwrap());
            let root = frontier_of(&leaves.0[..end]).root();
            assert_eq!(verify_inclusion(&leaves.0[at], index, size, &proof, &root), Ok(()));
        }
    }

    #[test]
    fn the_published_consistency_proofs_are_made_and_hold() {
        let published: [(usize, usize, &[&str]); 4] = [
            (1, 1, &[]),
            (1, 8, &[LEAF_1, NODE_2_3, NODE_4_7]),
            (2, 5, &[NODE_2_3, LEAF_4]),
            (6, 8, &[NODE_4_5, NODE_6_7, NODE_0_3]),
        ];
        let leaves = Leaves(published_leaf_hashes());
        for (old, new, expected) in published {
            let proof = consistency_proof(as_size(old), as_size(new), &leaves).unwrap();
            assert_eq!(hex_of(&proof), expected, "from {old} to {new}");
            let (old_root, new_root) = (tree_hash(&leaves.0[..old]), tree_hash(&leaves.0[..new]));
            let verdict = verify_consistency(as_size(old), &old_root, as_size(new), &new_root, &proof);
            assert_eq!(verdict, Ok(()));
        }
    }

    #[test]
    fn every_inclusion_proof_of_a_small_tree_holds_and_no_change_to_it_does() {
        let all = leaf_hashes(40);
        for size in 1..=all.len() {
            let leaves = Leaves(all[..size].to_vec());
            let root = tree_hash(&leaves.0);
            for (index, leaf) in leaves.0.iter().enumerate() {
                let verify =
                    |proof: &[Hash]| verify_inclusion(leaf, as_size(index), as_size(size), proof, &root);
                let proof = inclusion_proof(as_size(size), as_size(index), &leaves).unwrap();
                assert_eq!(proof, path(index, &leaves.0));
                assert_eq!(verify(&proof), Ok(()));
                for proof in flipped(&proof) {
                    assert_eq!(verify(&proof), Err(ProofError::RootMismatch));
                }
                for changed in resized(&proof) {
                    let (expected, actual) = (proof.len(), changed.len());
                    assert_eq!(verify(&changed), Err(ProofError::Length { expected, actual }));
                }
                for (other, other_leaf) in leaves.0.iter().enumerate().filter(|(at, _)| *at != index) {
                    let moved = verify_inclusion(leaf, as_size(other), as_size(size), &proof, &root);
                    assert!(moved.is_err(), "leaf {index} of {size} passes for leaf {other}");
                    assert!(
                        verify_inclusion(other_leaf, as_size(index), as_size(size), &proof, &root).is_err()
                    );
                }
            }
        }
    }

    #[test]
    fn every_consistency_proof_of_a_small_tree_holds_and_no_change_to_it_does() {
        let leaves = Leaves(leaf_hashes(40));
        let roots = (0..=40).map(|size| tree_hash(&leaves.0[..size])).collect::<Vec<_>>();
        for new in 1..=40 {
            for old in 1..=new {
                let verify = |proof: &[Hash], old_root: &Hash, new_root: &Hash| {
                    verify_consistency(as_size(old), old_root, as_size(new), new_root, proof)
                };
                let (old_root, new_root) = (&roots[old], &roots[new]);
                let proof = consistency_proof(as_size(old), as_size(new), &leaves).unwrap();
                assert_eq!(proof, subproof(old, &leaves.0[..new], true));
                assert_eq!(verify(&proof, old_root, new_root), Ok(()));
                for proof in flipped(&proof) {
                    assert!(verify(&proof, old_root, new_root).is_err(), "from {old} to {new}");
                }
                for changed in resized(&proof) {
                    let (expected, actual) = (proof.len(), changed.len());
                    let refused = Err(ProofError::Length { expected, actual });
                    assert_eq!(verify(&changed, old_root, new_root), refused, "from {old} to {new}");
                }
                assert!(verify(&proof, &[7; 32], new_root).is_err());
                assert!(verify(&proof, old_root, &[7; 32]).is_err());
            }
        }
    }

    #[test]
    fn every_tree_grew_from_the_empty_one_and_only_from_the_true_empty_one() {
        let (root, leaf) = (empty_root(), leaf_hash(b"a"));
        assert_eq!(consistency_proof(0, 1, &Leaves(vec![leaf])), Ok(Vec::new()));
        assert_eq!(verify_consistency(0, &root, 1, &leaf, &[]), Ok(()));
        assert_eq!(verify_consistency(0, &root, 0, &root, &[]), Ok(()));
        assert_eq!(verify_consistency(0, &leaf, 1, &leaf, &[]), Err(ProofError::OldRootMismatch));
        assert_eq!(verify_consistency(0, &root, 0, &leaf, &[]), Err(ProofError::RootMismatch));
        let one_too_many = Err(ProofError::Length { expected: 0, actual: 1 });
        assert_eq!(verify_consistency(0, &root, 1, &leaf, &[leaf]), one_too_many);
    }

    #[test]
    fn a_leaf_beyond_the_tree_and_a_tree_that_shrank_are_refused() {
        let leaves = Leaves(leaf_hashes(4));
        let beyond = ProofError::IndexOutOfRange { index: 4, size: 4 };
        assert_eq!(inclusion_proof(4, 4, &leaves), Err(beyond));
        assert_eq!(verify_inclusion(&[0; 32], 4, 4, &[], &[0; 32]), Err(beyond));
        let shrunk = ProofError::Shrunk { old: 4, new: 3 };
        assert_eq!(consistency_proof(4, 3, &leaves), Err(shrunk));
        assert_eq!(verify_consistency(4, &[0; 32], 3, &[0; 32], &[]), Err(shrunk));
    }

    #[test]
    fn the_largest_sizes_that_a_stranger_can_send_do_not_panic() {
        let proof = [[0; 32]; 64];
        for size in [SIZE_MAX, SIZE_MAX + 1, SIZE_MAX + 2, u64::MAX - 1, u64::MAX] {
            for other in [0, 1, SIZE_MAX, SIZE_MAX + 1, u64::MAX - 2] {
                for length in 0..=64 {
                    let proof = &proof[..length];
                    assert!(verify_inclusion(&[0; 32], other, size, proof, &[0; 32]).is_err());
                    assert!(verify_consistency(other.max(1), &[0; 32], size, &[1; 32], proof).is_err());
                }
                let nothing = Leaves(Vec::new());
                assert!(inclusion_proof(size, size - 1, &nothing).is_err());
                assert!(consistency_proof(size - 1, size, &nothing).is_err());
            }
        }
    }

    /// A tree whose leaves are all the same: of any size, and still at hand.
    struct Monotone(Vec<Hash>);

    impl Monotone {
        fn new() -> Self {
            let next = |hash: &Hash| Some(node_hash(hash, hash));
            Self(std::iter::successors(Some(leaf_hash(b"same")), next).take(64).collect())
        }

        fn root(&self, size: u64) -> Hash {
            let set = (0..64).rev().filter(|height| (size >> height) & 1 == 1);
            join_peaks(&set.map(|height| self.0[height]).collect::<Vec<_>>()).unwrap()
        }
    }

    impl NodeSource for Monotone {
        fn node(&self, node: Node) -> Option<Hash> {
            self.0.get(usize::from(node.height)).copied()
        }
    }

    #[test]
    fn proofs_hold_up_to_the_largest_size_that_can_be_written() {
        let tree = Monotone::new();
        let sizes = [1, 2, 5, (1 << 53) + 1, 1 << 62, SIZE_MAX, SIZE_MAX + 1, SIZE_MAX + 2, u64::MAX];
        for new in sizes {
            let root = tree.root(new);
            for old in sizes.into_iter().filter(|old| *old <= new) {
                let proof = inclusion_proof(new, old - 1, &tree).unwrap();
                assert_eq!(
                    verify_inclusion(&tree.0[0], old - 1, new, &proof, &root),
                    Ok(()),
                    "{old} in {new}"
                );
                let proof = consistency_proof(old, new, &tree).unwrap();
                let verdict = verify_consistency(old, &tree.root(old), new, &root, &proof);
                assert_eq!(verdict, Ok(()), "{old} to {new}");
            }
        }
    }

    #[test]
    fn a_prover_without_a_node_says_which_one() {
        let leaves = Leaves(leaf_hashes(6));
        assert_eq!(
            inclusion_proof(8, 0, &leaves),
            Err(ProofError::MissingNode(Node { height: 2, index: 1 }))
        );
    }

    #[test]
    fn only_the_bytes_of_a_frontier_are_read_as_one() {
        let bytes = frontier_of(&leaf_hashes(5)).to_bytes();
        assert_eq!(bytes.len(), 8 + 2 * 32);
        assert_eq!(Frontier::from_bytes(&bytes[..7]), Err(FrontierError::NoSize { actual: 7 }));
        for length in (8..bytes.len()).chain([bytes.len() + 1, bytes.len() + 32]) {
            let mut bytes = bytes.clone();
            bytes.resize(length, 0);
            let refused = FrontierError::Length { size: 5, expected: 64, actual: length - 8 };
            assert_eq!(Frontier::from_bytes(&bytes), Err(refused));
        }
        let size = SIZE_MAX + 1;
        let bytes = [&size.to_be_bytes()[..], &[0; 32]].concat();
        assert_eq!(Frontier::from_bytes(&bytes), Err(FrontierError::TooLarge { size }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_frontier_has_the_root_of_the_definition_and_survives_storage(size in 0_u64..1500) {
            let leaves = leaf_hashes(size);
            let frontier = frontier_of(&leaves);
            prop_assert_eq!(frontier.size(), size);
            prop_assert_eq!(frontier.root(), tree_hash(&leaves));
            prop_assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Ok(frontier));
        }

        #[test]
        fn proofs_of_any_tree_are_those_of_the_definition_and_hold(
            (size, old) in (1_usize..1500).prop_flat_map(|size| (Just(size), 1..=size)),
        ) {
            let leaves = Leaves(leaf_hashes(as_size(size)));
            let root = tree_hash(&leaves.0);

            let proof = inclusion_proof(as_size(size), as_size(old - 1), &leaves).unwrap();
            prop_assert_eq!(&proof, &path(old - 1, &leaves.0));
            let leaf = &leaves.0[old - 1];
            prop_assert_eq!(verify_inclusion(leaf, as_size(old - 1), as_size(size), &proof, &root), Ok(()));
            for proof in flipped(&proof) {
                prop_assert!(verify_inclusion(leaf, as_size(old - 1), as_size(size), &proof, &root).is_err());
            }

            let old_root = tree_hash(&leaves.0[..old]);
            let proof = consistency_proof(as_size(old), as_size(size), &leaves).unwrap();
            prop_assert_eq!(&proof, &subproof(old, &leaves.0, true));
            prop_assert_eq!(verify_consistency(as_size(old), &old_root, as_size(size), &root, &proof), Ok(()));
            for proof in flipped(&proof) {
                prop_assert!(verify_consistency(as_size(old), &old_root, as_size(size), &root, &proof).is_err());
            }
        }

        #[test]
        fn another_implementation_computes_the_same_roots_and_proofs(
            (size, old) in (1_usize..600).prop_flat_map(|size| (Just(size), 1..=size)),
        ) {
            let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
            (0..as_size(size)).for_each(|number| theirs.push(number.to_be_bytes().to_vec()));
            let ours = Leaves(leaf_hashes(as_size(size)));

            let root = theirs.root();
            prop_assert_eq!(root.as_bytes().as_slice(), frontier_of(&ours.0).root());
            let proof = inclusion_proof(as_size(size), as_size(old - 1), &ours).unwrap();
            let their_proof = theirs.prove_inclusion(old - 1);
            prop_assert_eq!(their_proof.as_bytes(), proof.as_flattened());
            let proof = consistency_proof(as_size(old), as_size(size), &ours).unwrap();
            let their_proof = theirs.prove_consistency(size - old);
            prop_assert_eq!(their_proof.as_bytes(), proof.as_flattened());
        }
    }
}
