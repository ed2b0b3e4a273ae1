//! The blocks of code in a page of Markdown.

/// A block of code, as its reader would copy it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The page and the line where it begins, for messages.
    pub place: String,
    /// What stands behind the fence; `indented` for a block without one.
    pub language: String,
    /// Its lines, without what they were indented by.
    pub text: String,
}

/// All blocks of a page, in order.
pub fn blocks(page: &str, markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = markdown.lines().enumerate().peekable();
    let mut after_blank = true;
    while let Some((at, line)) = lines.next() {
        let place = format!("{page}:{}", at + 1);
        if let Some(language) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            found.push(Block {
                place,
                language: language.to_owned(),
                text: inside.join("\n"),
            });
        } else if after_blank && let Some(first) = indented(line) {
            let mut inside = vec![first];
            while let Some((_, line)) = lines.peek() {
                let Some(next) = indented(line).or(line.is_empty().then_some("")) else {
                    break;
                };
                inside.push(next);
                lines.next();
            }
            found.push(Block {
                place,
                language: "indented".to_owned(),
                text: inside.join("\n").trim_end().to_owned(),
            });
        }
        after_blank = line.is_empty();
    }
    found
}

/// The line without the four or more columns that make it code.
fn indented(line: &str) -> Option<&str> {
    line.strip_prefix("    ").map(str::trim_start)
}

#[test]
fn fenced_and_indented_blocks_are_found() {
    let found = blocks(
        "page",
        "text\n\n```sh\na\n  b\n```\n\n    one\n\n    two\nend\n    no code\n",
    );
    let texts: Vec<_> = found
        .iter()
        .map(|block| {
            (
                block.place.as_str(),
                block.language.as_str(),
                block.text.as_str(),
            )
        })
        .collect();
    assert_eq!(
        texts,
        [
            ("page:3", "sh", "a\n  b"),
            ("page:8", "indented", "one\n\ntwo")
        ]
    );
}
