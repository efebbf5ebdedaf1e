//! The memory limit of a control group, of both versions, with those of the groups around it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A limit and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// The smallest limit on the way from the group to the root; `None`: there is none.
    pub limit_bytes: Option<u64>,
    /// The file that says it; where there is none, the group's own file.
    pub file: PathBuf,
    /// 1 or 2.
    pub version: u8,
    /// The soft limit (`memory.high`) where it is below the limit: reaching it slows all down.
    pub high_bytes: Option<u64>,
}

/// Why no limit can be read.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{}: `{found}` is no limit: expected bytes or `max`", file.display())]
    Content {
        /// Which.
        file: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The folder is no control group.
    #[error("{} holds neither memory.max (version 2) nor memory.limit_in_bytes (version 1)", .0.display())]
    NotACgroup(PathBuf),
    /// This process is in no group that can be found.
    #[error("this process has no memory control group: {0}")]
    NoOwn(String),
}

const V2_LIMIT: &str = "memory.max";
const V2_HIGH: &str = "memory.high";
const V1_LIMIT: &str = "memory.limit_in_bytes";

/// Version 1 writes `unlimited` as the largest number of whole pages, a bit below 2^63.
const V1_UNLIMITED_FROM: u64 = 1 << 62;

impl Cgroup {
    /// Reads the limit of a group.
    ///
    /// `path`: the group's folder, one of its limit files, or the mount point of all groups (with
    /// version 1 the folder above `memory`).
    pub fn read(path: &Path) -> Result<Self, CgroupError> {
        let given = fs::metadata(path)
            .map_err(|source| CgroupError::Read { file: path.to_owned(), source })?;
        let folder = match path.file_name().and_then(|name| name.to_str()) {
            Some(V2_LIMIT | V1_LIMIT) if given.is_file() => path.parent().unwrap_or(Path::new(".")),
            _ if given.is_file() => return Err(CgroupError::NotACgroup(path.to_owned())),
            _ => path,
        };
        let folder = &fs::canonicalize(folder)
            .map_err(|source| CgroupError::Read { file: folder.to_owned(), source })?;
        if folder.join(V2_LIMIT).is_file() {
            return hierarchy(folder, 2);
        }
        for folder in [folder, &folder.join("memory")] {
            if folder.join(V1_LIMIT).is_file() {
                return hierarchy(folder, 1);
            }
        }
        if folder.join("cgroup.controllers").is_file() {
            // The root group of version 2 has no limit, and no file for one.
            return Ok(Self {
                limit_bytes: None,
                file: folder.join(V2_LIMIT),
                version: 2,
                high_bytes: None,
            });
        }
        Err(CgroupError::NotACgroup(path.to_owned()))
    }

    /// Reads the limit of the group that this process is in.
    pub fn own() -> Result<Self, CgroupError> {
        let read = |file: &str| {
            fs::read_to_string(file)
                .map_err(|source| CgroupError::Read { file: file.into(), source })
        };
        let groups = own_folders(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?);
        let mut tried = Vec::new();
        for folder in groups {
            // Inside a container the path may be the host's: then the mount point is our group.
            match Self::read(&folder) {
                Err(CgroupError::Read { .. } | CgroupError::NotACgroup(_)) => {
                    tried.push(folder.display().to_string());
                }
                other => return other,
            }
        }
        Err(CgroupError::NoOwn(format!("looked in {}", tried.join(", "))))
    }
}

/// Folders in which this process's group may be, the best first, from two files of `/proc/self`.
fn own_folders(cgroup: &str, mountinfo: &str) -> Vec<PathBuf> {
    let path_of = |is_wanted: &dyn Fn(&str, &str) -> bool| {
        cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            is_wanted(number, controllers).then(|| path.to_owned())
        })
    };
    let v1 = path_of(&|_, controllers| controllers.split(',').any(|it| it == "memory"));
    let v2 = path_of(&|number, controllers| number == "0" && controllers.is_empty());
    let mut folders = Vec::new();
    for line in mountinfo.lines() {
        // ID parent device root mount-point options [fields ...] - type source options
        let Some((head, tail)) = line.split_once(" - ") else { continue };
        let mut head = head.split(' ').skip(3);
        let (Some(root), Some(mount)) = (head.next(), head.next()) else { continue };
        let mut tail = tail.split(' ');
        let path = match (tail.next(), tail.nth(1)) {
            (Some("cgroup"), Some(options)) if options.split(',').any(|it| it == "memory") => &v1,
            // With version 1 for memory, the tree of version 2 holds no limits.
            (Some("cgroup2"), _) if v1.is_none() => &v2,
            _ => continue,
        };
        let Some(path) = path else { continue };
        let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
        folders.push(Path::new(mount).join(below.trim_start_matches('/')));
        folders.push(PathBuf::from(mount));
    }
    folders
}

/// The smallest limit from `group` upwards, as far as the folders are groups.
fn hierarchy(group: &Path, version: u8) -> Result<Cgroup, CgroupError> {
    let name = if version == 2 { V2_LIMIT } else { V1_LIMIT };
    let mut found = Cgroup { limit_bytes: None, file: group.join(name), version, high_bytes: None };
    let mut high_bytes: Option<u64> = None;
    for folder in group.ancestors() {
        let file = folder.join(name);
        if !file.is_file() {
            break;
        }
        if let Some(bytes) = limit(&file)?
            && found.limit_bytes.is_none_or(|least| bytes < least)
        {
            (found.limit_bytes, found.file) = (Some(bytes), file);
        }
        let high = folder.join(V2_HIGH);
        if version == 2 && high.is_file() {
            high_bytes = limit(&high)?.into_iter().chain(high_bytes).min();
        }
    }
    let stat = group.join("memory.stat");
    // The groups around a container cannot be seen from inside, but version 1 says their minimum.
    if version == 1
        && let Some(bytes) = fs::read_to_string(&stat).ok().and_then(|text| hierarchical(&text))
        && found.limit_bytes.is_none_or(|least| bytes < least)
    {
        (found.limit_bytes, found.file) = (Some(bytes), stat);
    }
    found.high_bytes =
        high_bytes.filter(|high| found.limit_bytes.is_none_or(|limit| *high < limit));
    Ok(found)
}

fn hierarchical(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("hierarchical_memory_limit "))?;
    line.trim().parse().ok().filter(|bytes| *bytes < V1_UNLIMITED_FROM)
}

/// `None`: unlimited.
fn limit(file: &Path) -> Result<Option<u64>, CgroupError> {
    let text = fs::read_to_string(file)
        .map_err(|source| CgroupError::Read { file: file.to_owned(), source })?;
    match text.trim() {
        "max" | "-1" => Ok(None),
        text => match text.parse::<u64>() {
            Ok(bytes) => Ok(Some(bytes).filter(|bytes| *bytes < V1_UNLIMITED_FROM)),
            Err(_) => {
                let found = text.chars().take(40).collect();
                Err(CgroupError::Content { file: file.to_owned(), found })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files below a folder; what `read` says of `path` in it: version, limit, file or an error.
    fn check(files: &[(&str, &str)], path: &str, expected: Result<(u8, Option<u64>, &str), &str>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        let root = fs::canonicalize(folder.path()).unwrap();
        match (Cgroup::read(&root.join(path)), expected) {
            (Ok(cgroup), Ok((version, limit, file))) => {
                assert_eq!((cgroup.version, cgroup.limit_bytes), (version, limit), "{files:?}");
                assert_eq!(cgroup.file, root.join(file));
            }
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (found, expected) => panic!("{files:?} {path}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn version_2() {
        let all = [
            ("cgroup.controllers", "memory\n"),
            ("pods/memory.max", "8589934592\n"),
            ("pods/one/memory.max", "max\n"),
            ("pods/one/box/memory.max", "17179869184\n"),
            ("free/memory.max", "max\n"),
        ];
        check(&all, "pods", Ok((2, Some(8 << 30), "pods/memory.max")));
        check(&all, "pods/one", Ok((2, Some(8 << 30), "pods/memory.max")));
        check(&all, "pods/one/box", Ok((2, Some(8 << 30), "pods/memory.max")));
        check(&all, "pods/one/box/memory.max", Ok((2, Some(8 << 30), "pods/memory.max")));
        check(&all, "free", Ok((2, None, "free/memory.max")));
        check(&all, "", Ok((2, None, "memory.max")));
    }

    #[test]
    fn version_1() {
        let unlimited = "9223372036854771712\n";
        let all = [
            ("memory/memory.limit_in_bytes", unlimited),
            ("memory/a/memory.limit_in_bytes", "4294967296\n"),
            ("memory/a/b/memory.limit_in_bytes", unlimited),
            ("memory/c/memory.limit_in_bytes", unlimited),
            (
                "memory/c/memory.stat",
                "cache 0\nhierarchical_memory_limit 2147483648\ntotal_cache 0\n",
            ),
            ("memory/d/memory.limit_in_bytes", unlimited),
            ("memory/d/memory.stat", "hierarchical_memory_limit 9223372036854771712\n"),
        ];
        check(&all, "", Ok((1, None, "memory/memory.limit_in_bytes")));
        check(&all, "memory/a", Ok((1, Some(4 << 30), "memory/a/memory.limit_in_bytes")));
        check(&all, "memory/a/b", Ok((1, Some(4 << 30), "memory/a/memory.limit_in_bytes")));
        check(&all, "memory/c", Ok((1, Some(2 << 30), "memory/c/memory.stat")));
        check(&all, "memory/d", Ok((1, None, "memory/d/memory.limit_in_bytes")));
    }

    #[test]
    fn what_is_no_group_is_refused() {
        check(&[("a", "1")], "", Err("holds neither memory.max"));
        check(&[("a", "1")], "a", Err("holds neither memory.max"));
        check(&[("a", "1")], "b", Err("cannot read"));
        check(&[("memory.max", "lots")], "", Err("`lots` is no limit"));
        check(&[("memory.max", "")], "", Err("`` is no limit"));
        check(&[("memory.max", "-5")], "", Err("`-5` is no limit"));
    }

    #[test]
    fn a_soft_limit_counts_where_it_is_lower() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(V2_LIMIT), "1000000").unwrap();
        let high = |text| {
            fs::write(folder.path().join(V2_HIGH), text).unwrap();
            Cgroup::read(folder.path()).unwrap().high_bytes
        };
        assert_eq!((high("max"), high("900000"), high("2000000")), (None, Some(900_000), None));
    }

    #[test]
    fn a_process_finds_its_group() {
        let check = |cgroup, mountinfo, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(own_folders(cgroup, mountinfo), expected);
        };
        check(
            "0::/system.slice/h2o.service\n",
            "31 23 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
            &["/sys/fs/cgroup/system.slice/h2o.service", "/sys/fs/cgroup"],
        );
        // Docker with version 1: the root of the mount is the container's own group.
        check(
            "4:memory:/docker/abc\n1:cpu:/docker/abc\n0::/\n",
            "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
             36 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            &["/sys/fs/cgroup/memory/", "/sys/fs/cgroup/memory"],
        );
        check("", "nonsense\n", &[]);
    }
}
