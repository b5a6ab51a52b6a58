//! A check for well-formed HTML.

/// Asserts that tags are closed in order and that every `&` starts a reference.
pub fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = page.split_once("<body>").unwrap().1;
    let mut rest = body.rsplit_once("</body>").unwrap().0;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        assert!(!rest[..start].contains('>'), "a stray > in {:?}", &rest[..start]);
        let tag = &rest[start + 1..end];
        let name = tag.split_whitespace().next().unwrap().trim_end_matches('/');
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "in {tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, Vec::<&str>::new());
    for reference in body.split('&').skip(1) {
        let known = ["lt;", "gt;", "amp;", "quot;", "apos;", "#"];
        assert!(known.iter().any(|name| reference.starts_with(name)), "&{reference:.10}");
    }
}
