//! Relative links in Markdown.

use super::File;
use std::path::Path;

/// Links to missing files, one per line.
pub fn dead_links(file: &File, root: &Path) -> Vec<String> {
    let (true, Some(text)) = (file.name.ends_with(".md"), &file.text) else {
        return Vec::new();
    };
    let folder = root.join(&file.name).parent().map_or_else(|| root.into(), Path::to_path_buf);
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line) {
            let Some(path) = path_of(&target) else { continue };
            let exists = match path.strip_prefix('/') {
                Some(inner) => root.join(inner).exists(),
                None => folder.join(&path).exists(),
            };
            if !exists {
                found.push(format!(
                    "{}:{}: found a link to `{path}`, which does not exist",
                    file.name,
                    index + 1
                ));
            }
        }
    }
    found
}

/// Targets of `[text](target)` and `[name]: target` in a line, outside `code`.
fn targets(line: &str) -> Vec<String> {
    // Every second part between backticks is code.
    let prose = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
    let mut found = Vec::new();
    let mut rest = prose.as_str();
    while let Some(start) = rest.find("](") {
        rest = &rest[start + 2..];
        let Some(end) = rest.find(')') else { break };
        found.push(first_word(&rest[..end]));
        rest = &rest[end..];
    }
    if let Some((name, target)) = prose.split_once("]: ")
        && name.starts_with('[')
        && !name.starts_with("[^")
    {
        found.push(first_word(target));
    }
    found
}

/// Strips title and angle brackets from a target.
fn first_word(target: &str) -> String {
    let target = target.trim();
    match target.strip_prefix('<') {
        Some(bracketed) => bracketed.split('>').next().unwrap_or_default().to_owned(),
        None => target.split_whitespace().next().unwrap_or_default().to_owned(),
    }
}

/// Path of a target, if it is in the repository.
fn path_of(target: &str) -> Option<String> {
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    let path = target.split(['#', '?']).next().unwrap_or_default().replace("%20", " ");
    (!elsewhere && !path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(text: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("docs")).unwrap();
        std::fs::write(root.path().join("docs/style.md"), "").unwrap();
        std::fs::write(root.path().join("README.md"), "").unwrap();
        let name = "docs/method.md".to_owned();
        dead_links(&File { name, bytes: 0, text: Some(text.to_owned()) }, root.path())
    }

    #[test]
    fn working_links_are_accepted() {
        for text in [
            "[style](style.md), [read](../README.md#start \"title\"), [root](/README.md), [d](../docs)",
            "[a](https://example.org/x.md) [b](#here) [c](mailto:a@example.org)",
            "`[code](gone.md)`\n```\n[code](gone.md)\n```\n",
            "[s]: style.md\n[^1]: a note\n[f](<style.md>)",
        ] {
            assert_eq!(dead(text), Vec::<String>::new());
        }
    }

    #[test]
    fn dead_links_are_found() {
        for text in ["\n[a](gone.md)", "\n![a](style.md) ![b](gone.md)", "\n[a]: gone.md"] {
            assert_eq!(
                dead(text),
                ["docs/method.md:2: found a link to `gone.md`, which does not exist"]
            );
        }
        assert_eq!(dead("[a](gone.md#x) and [b](/gone.md)").len(), 2);
    }
}
