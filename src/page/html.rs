//! HTML written piece by piece. Everything that comes from outside passes
//! [`escaped`]; what is written as it is, is part of the program.

/// HTML that is also well-formed XML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

/// Attributes of an element, in order.
pub type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Html {
    /// Nothing yet.
    pub fn new() -> Html {
        Html::default()
    }

    /// An element, and what is in it.
    pub fn element(&mut self, tag: &'static str, attributes: Attributes<'_>, inside: impl FnOnce(&mut Html)) {
        self.begin(tag, attributes);
        self.0.push('>');
        inside(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// An element that holds a text.
    pub fn leaf(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(tag, attributes, |inside| inside.text(text));
    }

    /// An element that holds nothing: `<path d="..."/>`.
    pub fn empty(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.begin(tag, attributes);
        self.0.push_str("/>");
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.0.push_str(&escaped(text));
    }

    /// A part of the program, as it is.
    pub fn program(&mut self, text: &'static str) {
        self.0.push_str(text);
    }

    /// The end of a line, for those who read or compare the source.
    pub fn line(&mut self) {
        self.0.push('\n');
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.0
    }

    fn begin(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.0.push_str(&escaped(value));
            self.0.push('"');
        }
    }
}

/// A text that means itself, in an element as in an attribute. Characters that HTML
/// cannot hold become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_means_itself() {
        let mut html = Html::new();
        html.leaf("a", &[("href", "\"><script>")], "</a>&'\0");
        assert_eq!(html.finish(), "<a href=\"&quot;&gt;&lt;script&gt;\">&lt;/a&gt;&amp;&#39;\u{fffd}</a>");
    }
}
