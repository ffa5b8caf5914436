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

#[cfg(test)]
mod tests {
    use super::*;

    /// The root from one leaf and its path (RFC 9162, section 2.1.3.2).
    fn climbed(leaf: &[u8], at: usize, count: usize, path: &[[u8; 32]]) -> [u8; 32] {
        let mut hash = crate::sha256(&[&[0], leaf].concat());
        let (mut index, mut last) = (at, count - 1);
        for beside in path {
            if index % 2 == 1 || index == last {
                hash = crate::sha256(&[&[1][..], beside, &hash].concat());
                while index % 2 == 0 && index != 0 {
                    (index, last) = (index / 2, last / 2);
                }
            } else {
                hash = crate::sha256(&[&[1][..], &hash, beside].concat());
            }
            (index, last) = (index / 2, last / 2);
        }
        hash
    }

    #[test]
    fn every_path_leads_to_the_root() {
        for count in 1..10 {
            let leaves: Vec<_> = (0..count).map(|at| vec![u8::try_from(at).unwrap()]).collect();
            for (at, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, at);
                assert_eq!(climbed(leaf, at, count, &path), root(&leaves), "{at} of {count}");
            }
        }
    }
}
