//! What a look has found, and how all of it is shown.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Ok,
    /// It runs, and something about it may end badly.
    Warning,
    /// A host does not start, does not run, or does not keep what it promises.
    Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// What was looked at.
    pub about: &'static str,
    pub text: String,
    /// What to do.
    pub advice: Option<String>,
}

impl Finding {
    pub fn ok(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, about, text: text.into(), advice: None }
    }

    pub fn warning(about: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, about, text: text.into(), advice: Some(advice.into()) }
    }

    pub fn problem(about: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Problem, about, text: text.into(), advice: Some(advice.into()) }
    }
}

/// All that was found, in the order in which it was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub application: String,
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// No problem was found; there may be warnings.
    pub fn is_sound(&self) -> bool {
        self.count(Level::Problem) == 0
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }

    /// For people.
    pub fn text(&self) -> String {
        let counted = |level, word: &str| match self.count(level) {
            0 => format!("no {word}s"),
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        let (problems, warnings) = (counted(Level::Problem, "problem"), counted(Level::Warning, "warning"));
        let mut text = format!("{}: {problems}, {warnings}\n", self.application);
        for finding in &self.findings {
            let level = match finding.level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Problem => "problem",
            };
            let mut lines = finding.text.lines();
            text.push_str(&format!("  {level:<8} {:<11} {}\n", finding.about, lines.next().unwrap_or_default()));
            lines.for_each(|line| text.push_str(&format!("  {:20} {line}\n", "")));
            finding.advice.iter().for_each(|advice| text.push_str(&format!("  {:20} → {advice}\n", "")));
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        let (problems, warnings) = (self.count(Level::Problem), self.count(Level::Warning));
        let whole = serde_json::json!({
            "application": self.application, "problems": problems, "warnings": warnings, "findings": self.findings,
        });
        format!("{whole:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_is_shown_with_what_to_do() {
        let mut diagnosis = Diagnosis {
            application: "shop".into(),
            findings: vec![Finding::ok("memory", "enough"), Finding::warning("clock", "two\nlines", "do this")],
        };
        let expected = "\
shop: no problems, 1 warning
  ok       memory      enough
  warning  clock       two
                       lines
                       → do this
";
        assert_eq!(diagnosis.text(), expected);
        assert!(diagnosis.is_sound(), "warnings are allowed");
        diagnosis.findings.push(Finding::problem("topics", "wrong", "repair"));
        assert!(!diagnosis.is_sound());
        let json: serde_json::Value = serde_json::from_str(&diagnosis.json()).expect("JSON");
        assert_eq!((&json["problems"], &json["findings"][2]["level"]), (&1.into(), &"problem".into()));
    }
}
