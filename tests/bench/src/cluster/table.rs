//! A table that is printed as its rows are measured.

/// The widths of the words and figures of a row.
pub struct Table {
    words: Vec<&'static str>,
    figures: Vec<&'static str>,
}

/// The width of a word; of a figure, the width of its head and at least this.
const WORD_WIDTH: usize = 10;
const FIGURE_WIDTH: usize = 10;

impl Table {
    /// A table with these columns: words on the left, figures on the right.
    pub fn new(words: &[&'static str], figures: &[&'static str]) -> Self {
        Self {
            words: words.to_vec(),
            figures: figures.to_vec(),
        }
    }

    /// Prints the names of the columns.
    pub fn head(&mut self) {
        let (words, figures) = (self.words.clone(), self.figures.clone());
        self.row(&words, &figures);
    }

    /// Prints a row.
    pub fn row(&mut self, words: &[&str], figures: &[impl AsRef<str>]) {
        let mut line = String::new();
        for word in words {
            line += &format!("{word:<WORD_WIDTH$} ");
        }
        for (head, figure) in self.figures.iter().zip(figures) {
            let width = head.len().max(FIGURE_WIDTH);
            line += &format!(" {:>width$}", figure.as_ref());
        }
        println!("{}", line.trim_end());
    }
}

/// How many times the second the first is.
pub fn ratio(ours: f64, theirs: f64) -> String {
    format!("{:.2}x", ours / theirs)
}
