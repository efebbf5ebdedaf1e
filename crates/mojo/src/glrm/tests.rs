//! GLRM against answers of genmodel that the corpus does not hold.

use super::*;

/// The model number `i` of `vectors.txt`, and its three rows.
fn draw(i: u64, regularizer: Regularizer, loss: NumberLoss) -> (Glrm, [[f64; 5]; 3]) {
    let mut random = Random::new(i.cast_signed());
    let archetypes = (0..3 * 8).map(|_| random.next_gaussian()).collect();
    let binary = matches!(loss, NumberLoss::Logistic | NumberLoss::Hinge);
    let counts = loss == NumberLoss::Poisson;
    let rows = [(); 3].map(|()| {
        [0, 1, 2, 3, 4].map(|column| {
            let value = match column {
                // One more than there are levels: training did not see the last one.
                3 => random.next_i32_bound(4).into(),
                1 => random.next_i32_bound(2).into(),
                _ if counts => random.next_i32_bound(6).into(),
                _ if binary => random.next_i32_bound(2).into(),
                _ => 2.0 * random.next_gaussian(),
            };
            if random.next_i32_bound(5) == 0 { f64::NAN } else { value }
        })
    });
    let norms =
        if binary || counts { [(0.0, 1.0); 3] } else { [(0.5, 1.5), (-1.0, 1.0), (0.0, 0.75)] };
    let nums = [0, 4, 2].into_iter().zip(norms);
    let glrm = Glrm {
        seed: 1000 + i.cast_signed(),
        cats: vec![
            Cat { column: 3, levels: 3, loss: CategoryLoss::Categorical },
            Cat { column: 1, levels: 2, loss: CategoryLoss::Ordinal },
        ],
        nums: nums.map(|(column, (sub, mul))| Num { column, sub, mul, loss }).collect(),
        regularizer,
        gamma: 0.25,
        archetypes,
        width: 8,
        reconstruction: Some(Reconstruction {
            offsets: vec![0, 3, 5],
            reverses_transform: i.is_multiple_of(2),
        }),
    };
    (glrm, rows)
}

#[test]
fn every_loss_with_every_regularizer_is_genmodels() {
    let vectors = include_str!("vectors.txt").lines().filter(|line| !line.starts_with('#'));
    let vectors: Vec<&str> = vectors.collect();
    assert_eq!(vectors.len(), 8 * 6 * 3);
    let mut scratch = Scratch::default();
    for (i, lines) in vectors.chunks(3).enumerate() {
        let mut words = lines[0].split(' ');
        let regularizer = Regularizer::parse(words.next().unwrap()).unwrap();
        let loss = NumberLoss::parse(words.next().unwrap()).unwrap();
        let (glrm, rows) = draw(i as u64, regularizer, loss);
        assert_eq!(glrm.is_exact(), !loss.is_transcendental());
        // In reverse: the number of the row counts, not the order.
        for (number, (raw, line)) in rows.iter().zip(lines).enumerate().rev() {
            let bits = |word| f64::from_bits(u64::from_str_radix(word, 16).unwrap());
            let expected: Vec<f64> = line.split(' ').skip(2).map(bits).collect();
            let (mut x, mut row) = ([0.0; 3], [0.0; 5]);
            glrm.score(raw, number as u64, &mut x, &mut scratch);
            glrm.reconstruct(&x, &mut scratch, &mut row);
            for (found, expected) in x.iter().chain(&row).zip(&expected) {
                let near = (found - expected).abs() <= 1e-12 * expected.abs();
                let same =
                    found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                assert!(same || near && !glrm.is_exact(), "{line}: {x:?} {row:?}");
            }
        }
    }
}
