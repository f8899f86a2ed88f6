//! Changes of names, which a power cut keeps or loses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Node, folder_of};

/// One change, since its folder was synced.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Put(PathBuf, usize),
    Move(PathBuf, PathBuf, usize),
    Take(PathBuf),
    /// Two folders took each other's name; whether one of the folders above is synced.
    Exchange(PathBuf, PathBuf, bool),
}

impl Change {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Put(path, id) => {
                names.insert(path.clone(), Node::File(*id));
            }
            Self::Move(from, to, id) => {
                // The name may have been taken anew since, when an older change was lost.
                if names.get(from) == Some(&Node::File(*id)) {
                    names.remove(from);
                }
                names.insert(to.clone(), Node::File(*id));
            }
            Self::Take(path) => {
                // A folder stays if something in it does.
                if !names.keys().any(|name| name.parent() == Some(path)) {
                    names.remove(path);
                }
            }
            Self::Exchange(one, other, _) => {
                let (of_one, of_other) = (take(names, one), take(names, other));
                put(names, other, of_one);
                put(names, one, of_other);
            }
        }
    }

    /// The name that changes, or one of them.
    pub(super) fn name(&self) -> &Path {
        match self {
            Self::Put(path, _)
            | Self::Move(_, path, _)
            | Self::Take(path)
            | Self::Exchange(path, _, _) => path,
        }
    }

    /// Whether a name is another file's if this change is lost.
    pub(super) fn moves(&self, name: &Path) -> bool {
        match self {
            Self::Put(..) | Self::Move(..) | Self::Take(_) => false,
            Self::Exchange(one, other, _) => name.starts_with(one) || name.starts_with(other),
        }
    }

    /// The folder is synced; whether that makes the change durable.
    pub(super) fn sync(&mut self, folder: &Path) -> bool {
        match self {
            Self::Put(path, _) | Self::Move(_, path, _) | Self::Take(path) => {
                folder_of(path) == folder
            }
            Self::Exchange(one, other, half) => {
                let above = [folder_of(one) == folder, folder_of(other) == folder];
                let durable = above == [true; 2] || *half && above != [false; 2];
                *half |= above != [false; 2];
                durable
            }
        }
    }
}

/// What is below a folder, taken out: the rest of each path.
fn take(names: &mut BTreeMap<PathBuf, Node>, folder: &Path) -> Vec<(PathBuf, Node)> {
    let below = |path: &Path| {
        let rest = path.strip_prefix(folder).ok().filter(|rest| !rest.as_os_str().is_empty());
        rest.map(Path::to_owned)
    };
    let taken: Vec<_> =
        names.iter().filter_map(|(path, node)| Some((below(path)?, *node))).collect();
    for (rest, _) in &taken {
        names.remove(&folder.join(rest));
    }
    taken
}

fn put(names: &mut BTreeMap<PathBuf, Node>, folder: &Path, taken: Vec<(PathBuf, Node)>) {
    names.extend(taken.into_iter().map(|(rest, node)| (folder.join(rest), node)));
}
