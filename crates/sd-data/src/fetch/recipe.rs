//! The published data sets, their sources and checksums.

use crate::dataset::cifar::{CIFAR10, CIFAR100, Cifar, absent};
use std::path::{Path, PathBuf};

/// Files and sources of a data set.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Name on the command line.
    pub name: String,
    /// Display name.
    pub title: String,
    /// Subfolder of the data folder for the files, if any.
    pub folder: Option<String>,
    /// The unpacked archive, which replaces it, if any.
    pub unpacked: Option<Unpacked>,
    /// Files to download.
    pub files: Vec<RemoteFile>,
    /// Small files to write beside them: names and contents.
    pub texts: Vec<(String, String)>,
    /// Sources, in the order to try.
    pub sources: Vec<Source>,
    /// What to do if every source fails; followed by "in" and the folder.
    pub advice: String,
}

/// A file of a data set.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    /// File name, at the source and in the data folder.
    pub name: String,
    /// SHA-256 of the published file, in lower-case hexadecimal.
    pub sha256: String,
    /// Maximum size of the file and of its unpacked content, in bytes.
    pub max_bytes: u64,
    /// SHA-256 of the unpacked content, for gzip files that others repack. A file with this content is
    /// correct whatever its own checksum.
    pub content_sha256: Option<String>,
}

/// An unpacked archive.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Subfolder of the data folder.
    pub folder: String,
    /// Names of its files with their sizes in bytes, if known.
    pub files: Vec<(String, Option<u64>)>,
}

/// A source of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A local folder.
    Folder(PathBuf),
    /// An `http` or `https` URL that the file names are appended to.
    Http(String),
}

impl Source {
    /// Parses a command-line argument: a URL or a folder.
    pub fn from_argument(argument: &str) -> Self {
        if argument.starts_with("http://") || argument.starts_with("https://") {
            Self::Http(argument.to_owned())
        } else {
            Self::Folder(PathBuf::from(argument))
        }
    }
}

impl Recipe {
    /// The folder for the files.
    pub fn folder(&self, data_dir: &Path) -> PathBuf {
        self.folder.as_ref().map_or_else(|| data_dir.to_owned(), |folder| data_dir.join(folder))
    }

    pub(super) fn is_unpacked(&self, data_dir: &Path) -> bool {
        self.unpacked.as_ref().is_some_and(|Unpacked { folder, files }| {
            absent(&data_dir.join(folder), files).is_none()
        })
    }
}

const TORONTO: &str = "https://www.cs.toronto.edu/~kriz";
const ZALANDO: &str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com";

/// Name, SHA-256 of the official file, SHA-256 and size of its content: Debian repacks the same
/// content without the names and times of the official files.
const FASHION_MNIST: [(&str, &str, &str, u64); 4] = [
    (
        "train-images-idx3-ubyte.gz",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        16 + 60_000 * 28 * 28,
    ),
    (
        "train-labels-idx1-ubyte.gz",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        8 + 60_000,
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        16 + 10_000 * 28 * 28,
    ),
    (
        "t10k-labels-idx1-ubyte.gz",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        8 + 10_000,
    ),
];

const FASHION_CLASSES: &str = "T-shirt/top\nTrouser\nPullover\nDress\nCoat\nSandal\nShirt\n\
                               Sneaker\nBag\nAnkle boot\n";

/// The published data sets: CIFAR-10 (170 MB), CIFAR-100 (169 MB) and Fashion-MNIST (31 MB).
pub fn published() -> [Recipe; 3] {
    [
        cifar(
            &CIFAR10,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171,
        ),
        cifar(
            &CIFAR100,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            168_513_733,
        ),
        fashion_mnist(),
    ]
}

fn cifar(cifar: &Cifar, sha256: &str, max_bytes: u64) -> Recipe {
    let name = cifar.archive.to_owned();
    let advice = format!(
        "run the command again to resume, or get {TORONTO}/{name} by other means and put it"
    );
    Recipe {
        name: cifar.name.to_owned(),
        title: cifar.title.to_owned(),
        folder: None,
        unpacked: Some(Unpacked { folder: cifar.folder.to_owned(), files: cifar.files() }),
        files: vec![RemoteFile {
            name,
            sha256: sha256.to_owned(),
            max_bytes,
            content_sha256: None,
        }],
        texts: Vec::new(),
        sources: vec![Source::Http(TORONTO.to_owned())],
        advice,
    }
}

fn fashion_mnist() -> Recipe {
    let file = |(name, sha256, content, max_bytes): (&str, &str, &str, u64)| RemoteFile {
        name: name.to_owned(),
        sha256: sha256.to_owned(),
        max_bytes,
        content_sha256: Some(content.to_owned()),
    };
    Recipe {
        name: "fashion-mnist".to_owned(),
        title: "Fashion-MNIST".to_owned(),
        folder: Some("fashion-mnist".to_owned()),
        unpacked: None,
        files: FASHION_MNIST.into_iter().map(file).collect(),
        texts: vec![("class_names.txt".to_owned(), FASHION_CLASSES.to_owned())],
        sources: vec![Source::Http(ZALANDO.to_owned())],
        advice:
            "run the command again to resume, or scripts/fetch_fashion_mnist.sh to try Debian's \
                 package, or get the four files from \
                 https://github.com/zalandoresearch/fashion-mnist and put them"
                .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_urls_or_folders() {
        assert_eq!(Source::from_argument("http://a/b"), Source::Http("http://a/b".to_owned()));
        assert_eq!(Source::from_argument("https://a"), Source::Http("https://a".to_owned()));
        assert_eq!(Source::from_argument("a/b"), Source::Folder(PathBuf::from("a/b")));
    }
}
