//! Reads layers over a base as one: the newest layer that holds a key decides, and a removal hides what is below it.
//! Knows nothing of the engine below, apart from its byte strings.

use fjall::Slice;

use super::layer::Layer;
use crate::store::StoreError;

/// A key and its value in the base.
pub(super) type Row = Result<(Slice, Slice), StoreError>;

/// Visits keys in `from..to` in ascending order until `visit` says false. `layers` stand newest first, `base` gives the
/// rows of the same range in order.
///
/// # Errors
/// A row of the base cannot be read.
pub(super) fn merge(
    layers: [&Layer; 3],
    mut base: impl Iterator<Item = Row>,
    from: &[u8],
    to: Option<&[u8]>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StoreError> {
    let mut keys = layers.map(|layer| layer.keys(from, to).peekable());
    let mut row = base.next().transpose()?;
    loop {
        let changed = keys.iter_mut().filter_map(|keys| keys.peek().copied()).min().cloned();
        let is_changed = match (&changed, &row) {
            (None, None) => return Ok(()),
            (Some(changed), Some((stored, _))) => changed <= stored,
            (Some(_), None) => true,
            (None, Some(_)) => false,
        };
        let Some(key) = changed.filter(|_| is_changed) else {
            if row.as_ref().is_some_and(|(key, value)| !visit(key, value)) {
                return Ok(());
            }
            row = base.next().transpose()?;
            continue;
        };
        if row.as_ref().is_some_and(|(stored, _)| *stored == key) {
            row = base.next().transpose()?;
        }
        for keys in &mut keys {
            keys.next_if(|head| **head == key);
        }
        let newest = layers.into_iter().find_map(|layer| layer.get(&key));
        if let Some(Some(value)) = newest
            && !visit(&key, value)
        {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(changes: &[(&str, Option<&str>)]) -> Layer {
        let mut layer = Layer::new(true);
        for (key, value) in changes {
            layer.set(Slice::from(*key), value.map(Slice::from));
        }
        layer
    }

    fn merged(layers: &[Layer; 3], from: &str, to: Option<&str>, limit: usize) -> String {
        let base = [("a", "0"), ("b", "0"), ("d", "0"), ("f", "0")];
        let is_inside = |key: &str| key >= from && to.is_none_or(|to| key < to);
        let rows = base.into_iter().filter(|(key, _)| is_inside(key)).map(|(k, v)| Ok((k.into(), v.into())));
        let mut seen = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            seen.push(format!("{}{}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
            seen.len() < limit
        };
        let to = to.map(str::as_bytes);
        merge([&layers[0], &layers[1], &layers[2]], rows, from.as_bytes(), to, &mut visit).expect("readable rows");
        seen.join(" ")
    }

    #[test]
    fn the_newest_layer_decides_and_removals_hide() {
        let layers = [
            layer(&[("b", None), ("c", Some("3"))]),
            layer(&[("b", Some("2")), ("e", Some("2")), ("g", Some("2"))]),
            layer(&[("a", Some("1")), ("c", None), ("f", None), ("g", None)]),
        ];
        let cases = [
            ("", None, 99, "a1 c3 d0 e2 g2"),
            ("b", Some("g"), 99, "c3 d0 e2"),
            ("", None, 2, "a1 c3"),
            ("h", None, 99, ""),
            ("d", Some("d"), 99, ""),
        ];
        for (from, to, limit, expected) in cases {
            assert_eq!(merged(&layers, from, to, limit), expected, "{from}..{to:?}");
        }
    }
}
