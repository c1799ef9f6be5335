import unittest

from bench import stats


class Ratio(unittest.TestCase):
    def test_is_the_median_of_the_rounds_ratios(self):
        # The machine was half as fast in round 2: the ratio of medians would be 100/100.
        ours, theirs = {1: 50, 2: 100, 3: 120}, {1: 100, 2: 200, 3: 60}
        r = stats.ratio(ours, theirs)
        self.assertEqual((r.median, r.low, r.high), (0.5, 0.5, 2.0))

    def test_skips_rounds_that_one_side_lacks(self):
        self.assertEqual(stats.ratio({1: 3, 2: None, 3: 9}, {1: 1, 2: 2}).values, [3])

    def test_is_none_of_nothing_in_common(self):
        self.assertIsNone(stats.ratio({1: 3}, {2: 3}))
        self.assertIsNone(stats.ratio({1: 3}, {1: 0}))


class OfRounds(unittest.TestCase):
    def test_spread_has_median_and_ends(self):
        s = stats.spread([5, None, 1, 3, 100])
        self.assertEqual((s.median, s.low, s.high), (4, 1, 100))

    def test_spread_of_nothing_is_none(self):
        self.assertIsNone(stats.spread([None]))

    def test_best_is_by_the_median(self):
        peers = {"steady": {1: 5, 2: 5, 3: 5}, "lucky": {1: 9, 2: 4, 3: 4}, "absent": {}}
        self.assertEqual(stats.best(peers), "steady")
        self.assertEqual(stats.best(peers, highest=False), "lucky")
        self.assertIsNone(stats.best({"absent": {}}))


class Text(unittest.TestCase):
    def test_numbers_keep_three_digits(self):
        for value, text in ((123456, "123,456"), (1234.5, "1,234"), (99.94, "99.9"), (5.678, "5.68"),
                            (0.5, "0.500"), (0.0123, "0.0123"), (0, "0"), (-12.34, "-12.3")):
            self.assertEqual(stats.number(value), text)
        self.assertEqual(stats.number(None), "-")

    def test_one_round_has_no_brackets(self):
        self.assertEqual(stats.with_spread(stats.spread([7])), "7.00")
        self.assertEqual(stats.with_spread(stats.spread([100, 300, 200])), "200 (100-300)")
        self.assertEqual(stats.with_spread(None), "-")

    def test_rates_are_rounded_down_to_two_digits(self):
        for value, rounded in ((37_961, 37_000), (105_900, 100_000), (99.9, 99), (7, 7)):
            self.assertEqual(stats.two_digits(value), rounded)


if __name__ == "__main__":
    unittest.main()
