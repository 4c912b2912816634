//! Tags that nobody limits.

use super::*;

#[test]
fn calls_of_tags_without_limits_are_counted_where_somebody_may_ask() {
    for (counted_tags, counted) in [(CountedTags::Limited, 0), (CountedTags::All, 1)] {
        let desk = Desk::new(&AdmissionSettings { counted_tags, ..AdmissionSettings::default() }, &[]);
        assert_eq!(desk.admission.counts_sources_or_tags(), counted == 1);
        let (first, second) = (desk.begin(1), desk.begin(2));
        let admit = |id, tag| desk.admission.admit(at(0), id, target(0, "", tag));
        let calls = |tag| desk.admission.tag_calls(tag);
        assert_eq!((admit(first, "gold"), admit(second, "silver")), (Ok(()), Ok(())));
        assert_eq!([calls("gold"), calls("silver"), calls("other")], [counted, counted, 0]);
        desk.admission.over(first, Some(480));
        assert_eq!([calls("gold"), calls("silver")], [0, counted]);
        desk.admission.due(at(1));
        assert_eq!([calls("gold"), calls("silver")], [0, counted], "who is counted is not forgotten");
    }
}

#[test]
fn a_tag_with_limits_is_counted_once() {
    let tags = [("gold".into(), calls(1))].into();
    let desk = Desk::new(&AdmissionSettings { tags, counted_tags: CountedTags::All, ..AdmissionSettings::default() }, &[]);
    let (first, second) = (desk.begin(1), desk.begin(2));
    desk.admission.admit(at(0), first, target(0, "", "gold")).unwrap();
    assert_eq!(desk.admission.tag_calls("gold"), 1);
    assert!(desk.admission.admit(at(0), second, target(0, "", "gold")).is_err());
}
