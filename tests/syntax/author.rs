//! Specs made of choices, for properties.

/// Writes text that parses, one token after another, as its choices say.
struct Author<'c> {
    choices: std::slice::Iter<'c, u8>,
    text: String,
    comments: usize,
}

impl Author<'_> {
    /// A number below `count`; 0 when all choices are made.
    fn choose(&mut self, count: u8) -> u8 {
        self.choices.next().map_or(0, |choice| choice % count)
    }

    fn maybe(&mut self) -> bool {
        self.choose(2) == 1
    }

    /// Tokens, with something between them.
    fn put(&mut self, tokens: &str) {
        for token in tokens.split(' ') {
            self.text.push_str(token);
            self.comments += 1;
            match self.choose(32) {
                0..24 => self.text.push(' '),
                24..27 => self.text.push('\n'),
                27 => self.text.push_str("\n\n"),
                28 => self.text.push_str(&format!(" # {}\n", self.comments)),
                29 => self.text.push_str(&format!("\n# {}\n", self.comments)),
                30 => self.text.push_str(&format!(" #{}\n\n\n# more \n\n", self.comments)),
                _ => self.text.push_str("\r\n\t"),
            }
        }
    }

    fn pick(&mut self, tokens: &[&str]) {
        let at = self.choose(tokens.len() as u8);
        self.put(tokens[at as usize]);
    }

    fn name(&mut self) {
        self.pick(&["a", "query", "self", "hidden_states", "Linear", "f32", "a_name_that_takes_its_place"]);
    }

    fn docs(&mut self) {
        for _ in 0..self.choose(3) {
            self.text.push_str("/// What it is, said here.\n");
        }
    }

    /// Up to four parts with commas between them.
    fn list(&mut self, open: &str, close: &str, least: u8, trailing: bool, mut part: impl FnMut(&mut Self)) {
        self.put(open);
        let count = least + self.choose(4);
        for at in 0..count {
            if at > 0 {
                self.put(",");
            }
            part(self);
        }
        if trailing && count > 0 && self.choose(4) == 1 {
            self.put(",");
        }
        self.put(close);
    }

    fn names(&mut self) {
        self.name();
        while self.choose(3) == 1 {
            self.put(",");
            self.name();
        }
    }

    fn string(&mut self) {
        self.pick(&[
            "\"s\"",
            "\"\"",
            "\"a\\n\\\"\\\\\\t\u{e9}\"",
            "\"words_that_take_some_place_in_a_line\"",
        ]);
    }

    fn atom(&mut self, depth: u8) {
        match self.choose(if depth == 0 { 3 } else { 8 }) {
            0 => self.name(),
            1 => self.pick(&["0", "007", "1.50", "1e-9"]),
            2 => self.string(),
            3 => self.list("[", "]", 0, true, |author| author.expr(depth - 1)),
            4 => self.list("(", ")", 1, true, |author| author.named(depth - 1)),
            5 => {
                self.put("(");
                self.expr(depth - 1);
                self.put(")");
            }
            6 => {
                self.name();
                self.arguments(depth - 1);
            }
            _ => {
                self.name();
                match self.choose(2) {
                    0 => self.put(". member"),
                    _ => {
                        self.put("[");
                        self.expr(depth - 1);
                        self.put("]");
                    }
                }
            }
        }
    }

    fn named(&mut self, depth: u8) {
        self.name();
        self.put(":");
        self.expr(depth);
    }

    fn arguments(&mut self, depth: u8) {
        self.list(
            "(",
            ")",
            0,
            true,
            |author| if author.maybe() { author.named(depth) } else { author.expr(depth) },
        );
    }

    fn expr(&mut self, depth: u8) {
        if depth > 0 && self.choose(8) == 1 {
            self.put("if");
            self.expr(depth - 1);
            self.put("then");
            self.expr(depth - 1);
            self.put("else");
            return self.expr(depth - 1);
        }
        if self.choose(8) == 1 {
            self.put("not");
        }
        loop {
            if self.choose(8) == 1 {
                self.put("-");
            }
            self.atom(depth);
            match self.choose(4) {
                1 => self.pick(&["+", "-", "*", "/", "%", "@"]),
                2 => self.pick(&["and", "or", "and not"]),
                _ => return,
            }
        }
    }

    fn ty(&mut self) {
        loop {
            match self.choose(2) {
                0 => self.name(),
                _ => {
                    self.put("f32");
                    self.list("[", "]", 0, true, |author| {
                        if author.maybe() { author.expr(1) } else { author.put("...") }
                    });
                }
            }
            if self.choose(4) != 1 {
                break;
            }
            self.put("|");
        }
        match self.choose(4) {
            1 => self.put("* n"),
            2 => self.put("?"),
            _ => {}
        }
    }

    fn typed(&mut self) {
        self.docs();
        self.name();
        self.put(":");
        self.ty();
    }

    fn defaulted(&mut self) {
        self.typed();
        if self.maybe() {
            self.put("=");
            self.expr(1);
        }
    }

    fn body(&mut self, depth: u8) {
        self.put("{");
        for _ in 0..self.choose(4) {
            self.statement(depth);
        }
        self.put("}");
    }

    fn statement(&mut self, depth: u8) {
        match self.choose(if depth == 0 { 6 } else { 9 }) {
            0 => {
                self.put("return");
                self.expr(2);
            }
            1 => {
                self.docs();
                self.name();
                self.pick(&[
                    ": f32 [ out , in ]",
                    ": Linear",
                    ": Linear ( 1 ) * n from \"p\" with ( weight : w )",
                ]);
            }
            2 | 3 => {
                self.docs();
                self.pick(&["let", "set"]);
                self.name();
                self.put("=");
                self.expr(3);
            }
            4 => self.require(),
            5 => {
                self.put("answer span");
                self.arguments(1);
            }
            6 => {
                self.put("for i in 0 ..");
                self.name();
                self.body(depth - 1);
            }
            _ => {
                self.put("if");
                self.expr(1);
                self.body(depth - 1);
                while self.choose(3) == 1 {
                    self.put("else if");
                    self.expr(1);
                    self.body(depth - 1);
                }
                if self.maybe() {
                    self.put("else");
                    self.body(depth - 1);
                }
            }
        }
    }

    fn require(&mut self) {
        self.docs();
        self.put("require");
        self.expr(2);
        self.put("else");
        self.string();
    }

    fn signature(&mut self) {
        self.list("(", ")", 0, true, Author::defaulted);
        self.put("->");
        if self.maybe() { self.ty() } else { self.list("(", ")", 0, true, Author::typed) }
    }

    fn item(&mut self) {
        self.docs();
        match self.choose(11) {
            0 => self.put("use \"lib/bert.qdq\""),
            1 => self.pick(&["dim batch , seq", "dim past else 0 , rows = batch * 2"]),
            2 => {
                self.put("config");
                self.name();
                self.pick(&[": int", ": \"a\" | \"b\"", ": str ?"]);
                if self.maybe() {
                    self.put("=");
                    self.expr(1);
                }
            }
            3 => {
                self.put("let");
                self.name();
                self.put("=");
                self.expr(4);
            }
            4 => {
                self.put("type");
                self.name();
                self.put("=");
                self.ty();
            }
            5 => {
                self.put("record A {");
                for _ in 0..self.choose(4) {
                    self.typed();
                    self.pick(&[",", "", ","]);
                }
                self.put("}");
            }
            6 => self.require(),
            7 => {
                self.put("fn f");
                self.signature();
                self.body(2);
            }
            8 => {
                self.put("module M");
                if self.maybe() {
                    self.list("(", ")", 0, true, |author| {
                        author.pick(&["a : int", "b : bool = true", "c : str ? = none"])
                    });
                }
                self.put("on");
                self.signature();
                self.body(2);
            }
            9 => {
                self.put("model M");
                self.list("(", ")", 0, true, |author| {
                    author.typed();
                    author.pick(&["", "unless other", "= ones"]);
                });
                self.put("->");
                self.list("(", ")", 0, true, |author| {
                    author.typed();
                    author.pick(&["", "on request"]);
                });
                self.body(3);
            }
            _ => {
                self.put("quantize q {");
                for _ in 0..self.choose(5) {
                    self.docs();
                    self.rule();
                }
                self.put("}");
            }
        }
    }

    fn rule(&mut self) {
        match self.choose(4) {
            0 => {
                self.put("quantizer q = int8");
                self.arguments(1);
            }
            1 => {
                self.put("attach q to");
                self.sites();
                self.pick(&["", "as q_quantizer"]);
                self.pick(&["", "except at encoder.layer.0 , encoder.*.self"]);
            }
            2 => {
                self.put("tie");
                self.sites();
            }
            _ => {
                self.put("limit");
                self.sites();
                self.put("to 10.0");
            }
        }
    }

    fn sites(&mut self) {
        self.names();
        self.put("of");
        self.name();
        for _ in 0..self.choose(3) {
            self.pick(&["in", "under"]);
            self.names();
        }
        self.pick(&["", "at encoder.layer.0.1 , pooler"]);
    }
}

/// A spec written as the choices say.
pub fn spec(choices: &[u8]) -> String {
    let mut author = Author { choices: choices.iter(), text: String::new(), comments: 0 };
    for _ in 0..1 + author.choose(4) {
        author.item();
    }
    author.text
}
