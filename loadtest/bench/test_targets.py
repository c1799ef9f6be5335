import unittest

from bench import targets
from bench.cases import by_name
from bench.main import add_to
from bench.report import COLUMNS, EXPLAINED, case_section, case_table, goal, summary
from bench.targets import MET, MISSED, UNKNOWN, Target, Verdict, evaluate


def record(label, n, case="c", errors=(), **figures):
    return {"case": case, "label": label, "peer": label, "round": n, "figures": figures,
            "errors": list(errors), "notes": []}


class Evaluate(unittest.TestCase):
    def test_a_ceiling_is_met_at_its_value(self):
        records = [record("treadle", 1, cpu=105), record("bare", 1, cpu=100)]
        self.assertEqual(evaluate(Target("", "c", "cpu", 1.05, ("bare",)), records).state, MET)
        self.assertEqual(evaluate(Target("", "c", "cpu", 1.04, ("bare",)), records).state, MISSED)

    def test_a_floor_is_met_above_it(self):
        records = [record("treadle", 1, rps=70), record("bare", 1, rps=100)]
        target = Target("", "c", "rps", 0.8, ("bare",), least=True)
        verdict = evaluate(target, records)
        self.assertEqual((verdict.state, verdict.measured.median), (MISSED, 0.7))

    def test_the_best_of_several_is_the_one_to_beat(self):
        records = [record("treadle", 1, rps=100), record("go", 1, rps=90), record("h2o", 1, rps=120)]
        verdict = evaluate(Target("", "c", "rps", 1, ("go", "h2o", "nginx"), least=True), records)
        self.assertEqual((verdict.state, verdict.against), (MISSED, "h2o"))

    def test_an_absolute_figure_needs_nobody(self):
        records = [record("treadle", 1, pss_each=2000), record("treadle", 2, pss_each=2100)]
        self.assertEqual(evaluate(Target("", "c", "pss_each", 2048), records).state, MISSED)

    def test_invalid_rounds_count_for_nothing(self):
        records = [record("treadle", 1, errors=["3 errors"], cpu=1), record("bare", 1, cpu=100)]
        self.assertEqual(evaluate(Target("", "c", "cpu", 1.05, ("bare",)), records).state, UNKNOWN)

    def test_what_was_not_measured_is_unknown(self):
        self.assertEqual(evaluate(Target("", "c", "cpu", 1, ("bare",)), []).state, UNKNOWN)
        self.assertEqual(evaluate(Target("", "c", "cpu", 1), []).state, UNKNOWN)

    def test_another_figure_of_the_same_rounds(self):
        records = [record("treadle", 1, beside=110, alone=100)]
        target = Target("", "c", "beside", 1.1, ("treadle",), their_figure="alone")
        self.assertEqual(evaluate(target, records).state, MET)

    def test_within_the_spread_of_the_best(self):
        records = [record("treadle", n, rps=v) for n, v in ((1, 95), (2, 96), (3, 97))]
        records += [record("go", n, rps=v) for n, v in ((1, 95), (2, 110), (3, 105))]
        target = Target("", "c", "rps", 1, ("go",), least=True, within_spread=True)
        self.assertEqual(evaluate(target, records).state, MET)
        records += [record("h2o", n, rps=v) for n, v in ((1, 120), (2, 125), (3, 130))]
        target = Target("", "c", "rps", 1, ("go", "h2o"), least=True, within_spread=True)
        self.assertEqual(evaluate(target, records).state, MISSED)


    def test_a_bad_round_of_the_fastest_peer_does_not_make_up_for_the_others(self):
        records = [record("treadle", n, rps=v) for n, v in ((1, 99), (2, 100), (3, 130))]
        records += [record("h2o", n, rps=v) for n, v in ((1, 150), (2, 60), (3, 150))]
        records += [record("go", n, rps=v) for n, v in ((1, 125), (2, 126), (3, 127))]
        records += [record("nginx", n, errors=["1 error"], rps=500) for n in (1, 2, 3)]
        target = Target("", "c", "rps", 1, ("h2o", "go", "nginx", "beast"), least=True,
                        within_spread=True)
        verdict = evaluate(target, records)
        self.assertEqual((verdict.state, verdict.against, verdict.measured.median),
                         (MISSED, "go", 0.8))
        self.assertEqual(evaluate(target, records[:3]).state, UNKNOWN)
        self.assertEqual(evaluate(target, records[3:]).state, UNKNOWN)


class Add(unittest.TestCase):
    def test_new_cases_replace_old_ones(self):
        def run(cases, rate):
            return {"cases": cases, "records": [record("treadle", 1, c, cpu=rate) for c in cases],
                    "rates": {c: rate for c in cases}, "others": {}, "options": {"full": False},
                    "problems": [f"{c}, go: failed" for c in cases],
                    "parts": [{"command": "x", "cases": cases}]}
        got = add_to(run(["churn", "json"], 1), run(["plaintext-64", "json"], 2))
        self.assertEqual(got["cases"], ["plaintext-64", "json", "churn"])
        self.assertEqual(got["rates"], {"plaintext-64": 2, "json": 2, "churn": 1})
        self.assertEqual(sorted(r["case"] for r in got["records"]), ["churn", "json", "plaintext-64"])
        self.assertEqual(len(got["problems"]), 3)
        self.assertEqual(len(got["parts"]), 2)


class Tables(unittest.TestCase):
    def test_every_target_names_a_case_and_labels_that_are_there(self):
        cases = by_name()
        for t in targets.TARGETS:
            labels = [e.name() for e in cases[t.case].entries]
            for label in (t.ours, *t.against):
                self.assertIn(label, labels, t.what)

    def test_every_case_has_columns_and_distinct_labels(self):
        for case in by_name().values():
            self.assertIn(case.kind, COLUMNS)
            labels = [e.name() for e in case.entries]
            self.assertEqual(len(labels), len(set(labels)), case.name)

    def test_goals_read_well(self):
        self.assertEqual(goal(Target("", "c", "x", 2048, unit="bytes")), "<= 2,048 bytes")
        self.assertEqual(goal(Target("", "c", "x", 0.8, ("bare",), least=True)), ">= 0.8 of bare")
        self.assertEqual(goal(Target("", "c", "x", 1, ("go", "h2o"))), "<= 1 of the best of go, h2o")
        self.assertEqual(goal(Target("", "c", "x", 1, ("go", "h2o"), least=True, within_spread=True)),
                         ">= 1 of each of go, h2o")

    def test_only_what_was_measured_counts_as_missed_or_met(self):
        def said(*states):
            return summary([Verdict(None, state) for state in states])
        self.assertEqual(said(MET, MISSED, MET), "2 of 3 are met.")
        self.assertEqual(said(UNKNOWN, MISSED), "0 of 1 are met; 1 could not be judged.")
        self.assertTrue(said(UNKNOWN, UNKNOWN).startswith("None of the figures could be judged: "))

    def test_a_case_shows_ratios_to_its_reference(self):
        case = by_name()["tcp-echo"]
        records = [record("bare", 1, "tcp-echo", cpu=100), record("treadle", 1, "tcp-echo", cpu=150)]
        self.assertIn("| treadle | 150 | 1.50 |", case_table(case, records))

    def test_a_line_that_needs_it_is_explained_below_its_case(self):
        case, text = by_name()["file-1k"], EXPLAINED["treadle-open"]
        records = [record(label, 1, "file-1k", cpu=100) for label in ("bare", "treadle")]
        self.assertNotIn(text, case_section(case, records, {}))
        records.append(record("treadle-open", 1, "file-1k", cpu=110))
        self.assertIn(f"File of 1 KB. {text}", case_section(case, records, {}))

    def test_requests_answered_together_show_their_cpu_over_the_bare_loop(self):
        case = by_name()["pipelined-16"]
        records = [record("bare", 1, case.name, rps=400, cpu=100),
                   record("treadle", 1, case.name, rps=300, cpu=140)]
        text = case_table(case, records)
        self.assertIn("| server | requests/s | / bare | CPU ns per request | / bare |", text)
        self.assertIn("| treadle | 300 | 0.75 | 140 | 1.40 |", text)


if __name__ == "__main__":
    unittest.main()
