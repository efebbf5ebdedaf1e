//! Our metrics as OTLP has them, read from the text that `/metrics` answers: one list, one place
//! where they are counted.

use std::collections::BTreeMap;

use super::messages::{Data, Gauge, Histogram, HistogramPoint, KeyValue, Metric, NumberPoint, Sum};

/// Both ends of what is counted, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start_ns: u64,
    pub(crate) time_ns: u64,
}

const CUMULATIVE: i32 = 2;

/// `text`: `OpenMetrics`, as our own registry writes it.
pub(crate) fn metrics(text: &str, span: Span) -> Vec<Metric> {
    let mut metrics = Vec::new();
    let mut help = BTreeMap::new();
    let mut samples: BTreeMap<&str, Vec<(&str, &str, f64)>> = BTreeMap::new();
    let mut types = Vec::new();
    for line in text.lines() {
        if let Some((name, words)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' '))
        {
            help.insert(name, words);
        } else if let Some(it) = line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' ')) {
            types.push(it);
        } else if let (Some((name, kind)), Some((series, value))) =
            (types.last(), line.rsplit_once(' '))
            && let Ok(value) = value.parse()
        {
            let (series, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}');
            let part = series.strip_prefix(name).unwrap_or_default();
            // A gauge has no suffix, and that of a counter says nothing new.
            let part = if *kind == "histogram" { part } else { "" };
            samples.entry(name).or_default().push((part, labels, value));
        }
    }
    for (name, kind) in types {
        let found = samples.remove(name).unwrap_or_default();
        let data = match kind {
            "counter" => Data::Sum(Sum {
                points: numbers(&found, span),
                temporality: CUMULATIVE,
                is_monotonic: true,
            }),
            "histogram" => Data::Histogram(Histogram {
                points: histograms(&found, span),
                temporality: CUMULATIVE,
            }),
            _ => Data::Gauge(Gauge { points: numbers(&found, span) }),
        };
        let description = help.get(name).copied().unwrap_or_default().to_owned();
        metrics.push(Metric { name: name.to_owned(), description, data: Some(data) });
    }
    metrics
}

fn numbers(samples: &[(&str, &str, f64)], span: Span) -> Vec<NumberPoint> {
    let point = |(_, labels, value): &(&str, &str, f64)| NumberPoint {
        start_ns: span.start_ns,
        time_ns: span.time_ns,
        value: Some(*value),
        attributes: attributes(labels),
    };
    samples.iter().map(point).collect()
}

/// Series of one set of labels stand together: `_sum`, `_count`, and `_bucket` by growing bound.
fn histograms(samples: &[(&str, &str, f64)], span: Span) -> Vec<HistogramPoint> {
    let mut points: BTreeMap<String, HistogramPoint> = BTreeMap::new();
    let mut before: BTreeMap<String, u64> = BTreeMap::new();
    for (part, labels, value) in samples {
        let (bounds, others): (Vec<&str>, Vec<&str>) =
            labels.split(',').filter(|it| !it.is_empty()).partition(|it| it.starts_with("le="));
        let labels = others.join(",");
        let point = points.entry(labels.clone()).or_insert_with(|| HistogramPoint {
            start_ns: span.start_ns,
            time_ns: span.time_ns,
            attributes: attributes(&labels),
            ..HistogramPoint::default()
        });
        match *part {
            "_sum" => point.sum = Some(*value),
            "_count" => point.count = *value as u64,
            _ => {
                let seen = before.entry(labels).or_default();
                point.counts.push((*value as u64).saturating_sub(*seen));
                *seen = *value as u64;
                let bound = bounds.first().map_or("", |it| it[3..].trim_matches('"'));
                if let Some(bound) = bound.parse().ok().filter(|bound: &f64| bound.is_finite()) {
                    point.bounds.push(bound);
                }
            }
        }
    }
    points.into_values().collect()
}

/// Values of ours hold neither quotes nor commas.
fn attributes(labels: &str) -> Vec<KeyValue> {
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| KeyValue::text(key, value.trim_matches('"'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_gauges_and_histograms_keep_their_numbers() {
        let text = "# HELP a Requests.\n# TYPE a counter\na_total{model=\"m\",outcome=\"ok\"} 7\n\
                    # HELP g Open.\n# TYPE g gauge\ng 3\n\
                    # HELP h Time.\n# TYPE h histogram\nh_sum{model=\"m\"} 1.5\nh_count{model=\"m\"} 4\n\
                    h_bucket{le=\"0.1\",model=\"m\"} 1\nh_bucket{le=\"1.0\",model=\"m\"} 3\n\
                    h_bucket{le=\"+Inf\",model=\"m\"} 4\n# EOF\n";
        let found = metrics(text, Span { start_ns: 1, time_ns: 2 });
        let names: Vec<&str> = found.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["a", "g", "h"]);
        assert_eq!(found[0].description, "Requests.");
        let Some(Data::Sum(sum)) = &found[0].data else { panic!("{found:?}") };
        assert_eq!((sum.points[0].value, sum.is_monotonic), (Some(7.0), true));
        assert_eq!(sum.points[0].attributes.len(), 2);
        let Some(Data::Gauge(gauge)) = &found[1].data else { panic!("{found:?}") };
        assert_eq!(gauge.points[0].value, Some(3.0));
        let Some(Data::Histogram(histogram)) = &found[2].data else { panic!("{found:?}") };
        let point = &histogram.points[0];
        assert_eq!((point.count, point.sum), (4, Some(1.5)));
        assert_eq!((&point.counts[..], &point.bounds[..]), (&[1, 2, 1][..], &[0.1, 1.0][..]));
    }
}
