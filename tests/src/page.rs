/// A page of `docs` whose commands, the lines with four spaces in front, are run as they stand.
#[derive(Clone, Copy)]
pub struct Page(pub &'static str);

impl Page {
    /// The commands under this heading.
    #[track_caller]
    pub fn commands(self, heading: &str) -> String {
        let (_, section) = self.0.split_once(&format!("\n## {heading}\n")).expect("the page has this section");
        lines(section.split("\n## ").next().expect("it ends somewhere"))
    }

    /// The commands before the first heading.
    #[track_caller]
    pub fn preparation(self) -> String {
        let (preparation, _) = self.0.split_once("\n## ").expect("the page has sections");
        lines(preparation)
    }

    /// Headings with commands under them.
    pub fn headings(self) -> Vec<&'static str> {
        let headings = self.0.split("\n## ").skip(1).filter_map(|section| section.lines().next());
        headings.filter(|heading| !self.commands(heading).is_empty()).collect()
    }
}

/// The lines of a text that are commands.
fn lines(text: &str) -> String {
    let line = |line: &str| line.strip_prefix("    ").map(|line| line.to_owned() + "\n");
    text.lines().filter_map(line).collect()
}
