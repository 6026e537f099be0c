//! Words and numbers that look random and are the same in every run.

/// What text is made of, the common words first.
pub(crate) const WORDS: &str = "the of to and a in for is on that by this with you it not or be are from at as your \
    all have new more an was we will can us about if my has but our one other do no they he up may what \
    which their out use any there see only so his when here who also now help get view first been would \
    how were me some these its like than find date back people list name just over year day into two \
    invoice payment account customer supplier order delivery contract amount currency november december \
    bank transfer reference number statement balance approval manager department budget quarter report \
    travel hotel flight expense receipt policy limit exceeded refund credit note overdue reminder please \
    check attached document signed copy address telephone meeting schedule agenda minutes project team \
    software release deployment incident ticket priority severity assigned resolved database backup \
    restore certificate renewal license agreement terms conditions privacy security access permission \
    request granted denied review audit finding evidence compliance regulation standard requirement \
    article section paragraph clause warehouse shipment tracking package carrier customs duty tax rate \
    percent discount total subtotal quantity price unit product catalogue description specification \
    material weight height colour size model version serial warranty repair return exchange complaint \
    feedback survey answer question response summary analysis forecast revenue cost margin profit loss \
    asset liability equity interest loan mortgage insurance premium claim settlement dispute lawyer court \
    decision appeal deadline extension confirmed cancelled postponed completed pending processing failed \
    successful retry timeout connection server client message queue event record ledger entry journal \
    reconcile adjust allocate transfer withdraw deposit exchange euro dollar pound monday tuesday \
    wednesday thursday friday morning afternoon evening tomorrow yesterday weekly monthly annual";

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}
