//! The points of all nodes, as hashes of their numbered names.

use sha1::Sha1;
use sha2::{Digest, Sha384};

use crate::continuum::Point;
use crate::hash::md5::{LANE_LEN, LANES, Lanes, md5};
use crate::hash::one_at_a_time::one_at_a_time;

/// A node on its way into the continuum.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// What is hashed, before the number.
    pub(crate) name: String,
    /// How many numbers, from 0.
    pub(crate) numbers: u32,
    /// Who owns where two nodes have a point in common; see [`Point`].
    pub(crate) rank: u16,
}

/// Four points from each MD5 of `NAME-i`: its words, little-endian.
pub(crate) fn md5_points(holders: &[Holder]) -> Vec<Point> {
    let mut points = Vec::with_capacity(4 * numbers_in_all(holders));
    let mut lanes = Lanes::new();
    let mut laid: [Point; LANES] = [Point { place: 0, rank: 0, owner: 0 }; LANES];
    let mut lane = 0;
    for_each_name(holders, b'-', |name, point| {
        if name.len() > LANE_LEN {
            points.extend(md5(name).map(|place| Point { place, ..point }));
            return;
        }
        lanes.lay(lane, name);
        laid[lane] = point;
        lane += 1;
        if lane == LANES {
            take_lanes(&lanes, &laid, &mut points);
            lane = 0;
        }
    });
    take_lanes(&lanes, &laid[..lane], &mut points);
    points
}

/// Four points from each SHA-384 of `NAME-i`: its first sixteen bytes, taken as MD5's.
pub(crate) fn sha384_points(holders: &[Holder]) -> Vec<Point> {
    let mut points = Vec::with_capacity(4 * numbers_in_all(holders));
    for_each_name(holders, b'-', |name, point| {
        let digest = Sha384::digest(name);
        let words = digest.as_chunks::<4>().0.iter().take(4);
        points.extend(words.map(|word| Point { place: u32::from_le_bytes(*word), ..point }));
    });
    points
}

/// One point from each one-at-a-time of `NAME-i`.
pub(crate) fn one_at_a_time_points(holders: &[Holder]) -> Vec<Point> {
    let mut points = Vec::with_capacity(numbers_in_all(holders));
    for_each_name(holders, b'-', |name, point| points.push(Point { place: one_at_a_time(name), ..point }));
    points
}

/// One point from each SHA-1 of `NAME:i`: the first eight digits of it in hexadecimal.
pub(crate) fn sha1_points(holders: &[Holder]) -> Vec<Point> {
    let mut points = Vec::with_capacity(numbers_in_all(holders));
    for_each_name(holders, b':', |name, point| {
        let digest = Sha1::digest(name);
        let place = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        points.push(Point { place, ..point });
    });
    points
}

/// Calls `each` with every numbered name and the point that lacks only its place.
fn for_each_name(holders: &[Holder], separator: u8, mut each: impl FnMut(&[u8], Point)) {
    let mut name = Vec::new();
    for (owner, holder) in (0_u16..).zip(holders) {
        name.clear();
        name.extend_from_slice(holder.name.as_bytes());
        name.push(separator);
        let stem_len = name.len();
        for number in 0..holder.numbers {
            name.truncate(stem_len);
            push_decimal(&mut name, number);
            each(&name, Point { place: 0, rank: holder.rank, owner });
        }
    }
}

fn take_lanes(lanes: &Lanes, laid: &[Point], points: &mut Vec<Point>) {
    if laid.is_empty() {
        return;
    }
    let digests = lanes.digests();
    for (lane, point) in laid.iter().enumerate() {
        points.extend(digests.map(|word| Point { place: word[lane], ..*point }));
    }
}

/// Writes `number` as text; the formatting machinery would cost as much as the hash.
fn push_decimal(text: &mut Vec<u8>, number: u32) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(b'0' + (number % 10) as u8);
}

fn numbers_in_all(holders: &[Holder]) -> usize {
    holders.iter().map(|holder| holder.numbers as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_give_the_points_of_their_digests() {
        let lens = [1, 20, 52, 53, 54, 55, 56, 100, 116, 117, 118, 119, 200, 255];
        let holders = lens.map(|len| Holder { name: "x".repeat(len), numbers: 41, rank: 0 });
        let mut points = md5_points(&holders);
        points.sort_unstable();

        let mut expected = Vec::new();
        for_each_name(&holders, b'-', |name, point| {
            expected.extend(md5(name).map(|place| Point { place, ..point }));
        });
        expected.sort_unstable();
        assert_eq!(points, expected);
    }

    #[test]
    fn names_are_numbered_from_zero_in_decimal() {
        let mut names = Vec::new();
        for_each_name(&[Holder { name: "a".into(), numbers: 101, rank: 0 }], b'-', |name, _| {
            names.push(String::from_utf8(name.to_vec()).unwrap());
        });
        assert_eq!(names, (0..=100).map(|i| format!("a-{i}")).collect::<Vec<_>>());
    }
}
