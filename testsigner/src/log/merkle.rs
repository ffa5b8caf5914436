//! Merkle trees over a few leaves (RFC 6962, section 2.1), by the book.

/// The root of the tree.
pub(crate) fn root(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => crate::sha256(&[]),
        [leaf] => crate::sha256(&[&[0], leaf.as_slice()].concat()),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            crate::sha256(&[&[1][..], &root(left), &root(right)].concat())
        }
    }
}

/// The audit path of one leaf, nearest first.
pub(crate) fn path(leaves: &[Vec<u8>], leaf: usize) -> Vec<[u8; 32]> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, beside) = match leaf.checked_sub(at) {
        None => (self::path(left, leaf), right),
        Some(leaf) => (self::path(right, leaf), left),
    };
    path.push(root(beside));
    path
}

/// The largest power of two below the count.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}
