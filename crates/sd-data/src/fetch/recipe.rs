//! The published data sets, their sources and checksums.

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
    /// Subfolder of the data folder with the unpacked files, which replaces the archive, if any.
    pub unpacked: Option<String>,
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
    /// MD5 of the file, as published with the data sets, in lower-case hexadecimal. Detects corrupted
    /// downloads, not malicious ones.
    pub md5: String,
    /// SHA-256 of the unpacked content, for gzip files that others repack. A file with this content is
    /// correct whatever its MD5.
    pub content_sha256: Option<String>,
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
        self.unpacked.as_ref().is_some_and(|folder| data_dir.join(folder).is_dir())
    }
}

const TORONTO: &str = "https://www.cs.toronto.edu/~kriz";
const ZALANDO: &str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com";

/// Name, MD5 of the official file, SHA-256 of its content: Debian repacks the same content without
/// the names and times of the official files.
const FASHION_MNIST: [[&str; 3]; 4] = [
    [
        "train-images-idx3-ubyte.gz",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ],
    [
        "train-labels-idx1-ubyte.gz",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ],
    [
        "t10k-images-idx3-ubyte.gz",
        "bef4ecab320f06d8554ea6380940ec79",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ],
    [
        "t10k-labels-idx1-ubyte.gz",
        "bb300cfdad3c16e7a12a480ee83cd310",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ],
];

const FASHION_CLASSES: &str = "T-shirt/top\nTrouser\nPullover\nDress\nCoat\nSandal\nShirt\n\
                               Sneaker\nBag\nAnkle boot\n";

/// The published data sets: CIFAR-10 (170 MB), CIFAR-100 (169 MB) and Fashion-MNIST (31 MB).
pub fn published() -> [Recipe; 3] {
    [
        cifar(10, "cifar-10-batches-bin", "c32a1d4ab5d03f1284b67883e8d87530"),
        cifar(100, "cifar-100-binary", "03b5dce01913d631647c71ecec9e9cb8"),
        fashion_mnist(),
    ]
}

fn cifar(classes: usize, unpacked: &str, md5: &str) -> Recipe {
    let file = format!("cifar-{classes}-binary.tar.gz");
    Recipe {
        name: format!("cifar{classes}"),
        title: format!("CIFAR-{classes}"),
        folder: None,
        unpacked: Some(unpacked.to_owned()),
        files: vec![RemoteFile { name: file.clone(), md5: md5.to_owned(), content_sha256: None }],
        texts: Vec::new(),
        sources: vec![Source::Http(TORONTO.to_owned())],
        advice: format!(
            "run the command again to resume, or get {TORONTO}/{file} by other means and put it"
        ),
    }
}

fn fashion_mnist() -> Recipe {
    let file = |[name, md5, content]: [&str; 3]| RemoteFile {
        name: name.to_owned(),
        md5: md5.to_owned(),
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
