//! The circle of points, and the owner of each place on it.

/// A place on the circle that a node holds.
///
/// Points order by place; at the same place the smaller rank comes first, and the first one owns.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Point {
    pub(crate) place: u32,
    pub(crate) rank: u16,
    pub(crate) owner: u16,
}

/// The points in order, with a table that says where to begin looking.
///
/// A place belongs to the first point at or after it, and past the last point to the first. The circle is cut into
/// equal arcs, as many as there are points or more; the table holds the first point of each, so a look-up passes over
/// less than one point on average. A last entry for the end of the circle stands for the wrap.
#[derive(Clone, Debug)]
pub(crate) struct Continuum {
    /// For each arc, the first point in it or after it.
    arcs: Box<[u32]>,
    /// The upper bits of a place number its arc; these are the lower ones.
    arc_bits: u32,
    /// The places of all points, and the end of the circle.
    places: Box<[u32]>,
    /// The owner of the point at the same index.
    owners: Box<[u16]>,
}

impl Continuum {
    /// The circle of `points`, in any order; at least one.
    ///
    /// The points are dealt into their arcs, and only neighbours in an arc are sorted.
    pub(crate) fn new(points: &[Point]) -> Self {
        let arc_count = points.len().next_power_of_two().clamp(MIN_ARCS, MAX_ARCS);
        let arc_bits = u32::BITS - arc_count.ilog2();
        let arc_of = |point: &Point| (point.place >> arc_bits) as usize;

        let mut ends = vec![0_u32; arc_count];
        for point in points {
            ends[arc_of(point)] += 1;
        }
        let mut end = 0;
        for arc in &mut ends {
            end += *arc;
            *arc = end;
        }
        let mut dealt = vec![Point { place: 0, rank: 0, owner: 0 }; points.len()];
        let mut arcs = ends.clone();
        for point in points {
            let next = &mut arcs[arc_of(point)];
            *next -= 1;
            dealt[*next as usize] = *point;
        }
        for (start, end) in arcs.iter().zip(&ends) {
            if end - start > 1 {
                dealt[*start as usize..*end as usize].sort_unstable();
            }
        }

        let places = dealt.iter().map(|point| point.place).chain([u32::MAX]).collect();
        let owners = dealt.iter().chain(&dealt[..1]).map(|point| point.owner).collect();
        Self { arcs: arcs.into(), arc_bits, places, owners }
    }

    /// The circle on which a place belongs to the last point at or *before* it, and before the first point to the last.
    ///
    /// Of points at the same place the larger rank owns. The same circle as seen from the other end: a point owns until
    /// one place before the next one.
    pub(crate) fn of_predecessors(points: &[Point]) -> Self {
        let mut sorted = points.to_vec();
        sorted.sort_unstable();
        sorted.reverse();
        sorted.dedup_by_key(|point| point.place);
        sorted.reverse();
        let before = sorted.iter().cycle().skip(sorted.len() - 1);
        let ends = sorted.iter().zip(before).map(|(next, point)| Point {
            place: next.place.wrapping_sub(1),
            rank: 0,
            owner: point.owner,
        });
        Self::new(&ends.collect::<Vec<_>>())
    }

    /// The owner of `place`.
    #[inline]
    pub(crate) fn owner(&self, place: u32) -> usize {
        let mut at = self.arcs[(place >> self.arc_bits) as usize] as usize;
        // Ends at the last entry, which is at no place before any other.
        while self.places[at] < place {
            at += 1;
        }
        usize::from(self.owners[at])
    }

    /// The stretches of the circle from its start: the last place of each, and its owner. The last one ends the circle.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (u32, usize)> {
        self.places.iter().copied().zip(self.owners.iter().map(|owner| usize::from(*owner)))
    }
}

const MIN_ARCS: usize = 1 << 8;
/// Bounds the table at 256 KiB; the largest ring then has 2.5 points an arc.
const MAX_ARCS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_belongs_to_the_first_point_at_or_after_it() {
        let circle = Continuum::new(&[point(10, 0), point(20, 1), point(0xffff_0000, 2)]);
        for (place, owner) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 2), (0xffff_0000, 2), (0xffff_0001, 0)]
        {
            assert_eq!(circle.owner(place), owner, "place {place}");
        }
        assert_eq!(circle.owner(u32::MAX), 0);
    }

    #[test]
    fn a_point_at_the_very_end_owns_the_end() {
        let circle = Continuum::new(&[point(0, 0), point(u32::MAX, 1)]);
        assert_eq!([0, 1, u32::MAX].map(|place| circle.owner(place)), [0, 1, 1]);
    }

    #[test]
    fn looking_back_a_place_belongs_to_the_last_point_at_or_before_it() {
        let circle =
            Continuum::of_predecessors(&[point(10, 0), point(20, 1), point(20, 2), point(u32::MAX, 3)]);
        for (place, owner) in
            [(0, 3), (9, 3), (10, 0), (19, 0), (20, 2), (21, 2), (u32::MAX - 1, 2), (u32::MAX, 3)]
        {
            assert_eq!(circle.owner(place), owner, "place {place}");
        }
        let from_zero = Continuum::of_predecessors(&[point(0, 0), point(7, 1)]);
        assert_eq!([0, 6, 7, u32::MAX].map(|place| from_zero.owner(place)), [0, 0, 1, 1]);
    }

    proptest! {
        #[test]
        fn the_table_finds_what_a_plain_search_finds(
            places in prop::collection::vec(prop_oneof![any::<u32>(), 0..50_u32, u32::MAX - 50..], 1..400),
            asked in prop::collection::vec(prop_oneof![any::<u32>(), 0..60_u32, u32::MAX - 60..], 100),
        ) {
            let mut points: Vec<_> = places.iter().zip(0..).map(|(place, owner)| point(*place, owner)).collect();
            let (ahead, back) = (Continuum::new(&points), Continuum::of_predecessors(&points));
            points.sort_unstable();
            for place in asked.into_iter().chain(places) {
                let next = points.iter().find(|point| point.place >= place).unwrap_or(&points[0]);
                prop_assert_eq!(ahead.owner(place), usize::from(next.owner));
                let last = points.iter().rfind(|point| point.place <= place).unwrap_or(&points[points.len() - 1]);
                prop_assert_eq!(back.owner(place), usize::from(last.owner));
            }
        }
    }

    fn point(place: u32, owner: u16) -> Point {
        Point { place, rank: owner, owner }
    }
}
