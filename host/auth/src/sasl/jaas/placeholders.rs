//! `${name}` in a value of a JAAS file, as Java's `PropertyExpander` puts something in its place.
//!
//! `${/}` is a slash; `${{…}}` and what lacks its `}` stay as they are; every other name stands
//! for a Java property, or here, where no property has it, for a variable of the environment. What
//! was put in is not looked at again.

/// A placeholder that nothing fills. It would be taken for a password itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unfilled(pub(crate) String);

/// The value with all its placeholders filled.
pub(crate) fn fill(
    value: &str,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Unfilled> {
    let mut filled = String::new();
    let mut rest = value;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let inner = &from[2..];
        if inner.starts_with('{') {
            let Some(end) = inner.find("}}") else {
                rest = from;
                break;
            };
            let (verbatim, after) = from.split_at(2 + end + 2);
            filled.push_str(verbatim);
            rest = after;
            continue;
        }
        let Some((name, after)) = inner.split_once('}') else {
            rest = from;
            break;
        };
        match name {
            "/" => filled.push('/'),
            _ => filled.push_str(&known(name).ok_or_else(|| Unfilled(name.to_owned()))?),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Properties that every Java has, as far as a path in a configuration file names them.
pub(crate) fn of_every_java(name: &str) -> Option<String> {
    match name {
        "user.home" => std::env::var("HOME").ok(),
        "user.name" => std::env::var("USER").ok(),
        "user.dir" => Some(std::env::current_dir().ok()?.to_str()?.to_owned()),
        "java.io.tmpdir" => Some("/tmp".to_owned()),
        "file.separator" => Some("/".to_owned()),
        "path.separator" => Some(":".to_owned()),
        "line.separator" => Some("\n".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Java 17 makes of the same values.
    #[test]
    fn values_are_filled_as_java_fills_them() {
        let known = |name: &str| match name {
            "set" => Some("va\"l".to_owned()),
            "nest" => Some("${set}".to_owned()),
            "empty" => Some(String::new()),
            _ => None,
        };
        for (value, filled) in [
            ("plain", "plain"),
            ("${set}", "va\"l"),
            ("x${set}y${set}", "xva\"lyva\"l"),
            ("${nest}", "${set}"),
            ("x${empty}", "x"),
            ("${/}", "/"),
            ("${", "${"),
            ("a${b", "a${b"),
            ("${{unset}}", "${{unset}}"),
            ("${{unset}} ${set}", "${{unset}} va\"l"),
            ("${{unset} ${set}", "${{unset} ${set}"),
            ("$set {set}", "$set {set}"),
        ] {
            assert_eq!(fill(value, &known).as_deref(), Ok(filled), "{value}");
        }
        for (value, name) in [("${unset}", "unset"), ("a${set}${SET}", "SET"), ("${}", "")] {
            assert_eq!(
                fill(value, &known),
                Err(Unfilled(name.to_owned())),
                "{value}"
            );
        }
    }
}
