CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE rollouts (
    step INTEGER PRIMARY KEY, policy_version INTEGER NOT NULL,
    sample_seconds REAL NOT NULL, render_seconds REAL NOT NULL, judge_seconds REAL NOT NULL
  ) STRICT;
CREATE TABLE candidates (
    step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    prompt_id TEXT NOT NULL, idx INTEGER NOT NULL, prompt TEXT NOT NULL,
    policy_version INTEGER NOT NULL, seed INTEGER NOT NULL,
    prompt_ids TEXT NOT NULL, completion_ids TEXT NOT NULL, logps TEXT NOT NULL,
    svg TEXT NOT NULL, finish TEXT NOT NULL,
    rendering TEXT NOT NULL, reason TEXT, detail TEXT, picture_hash TEXT,
    PRIMARY KEY (step, prompt_id, idx)
  ) STRICT;
CREATE TABLE verdicts (
    step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    prompt_id TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL,
    outcome TEXT NOT NULL, confidence REAL NOT NULL, score_a REAL, score_b REAL,
    judged_by TEXT NOT NULL, reason TEXT, cost_usd REAL,
    PRIMARY KEY (step, prompt_id, a, b)
  ) STRICT;
CREATE TABLE preferences (
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    prompt_id TEXT NOT NULL, chosen INTEGER NOT NULL, rejected INTEGER NOT NULL, label REAL NOT NULL, weight REAL NOT NULL,
    consumed_by_step INTEGER, dropped_at_step INTEGER
  ) STRICT;
CREATE TABLE costs (
    step INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    judged_by TEXT NOT NULL, answers INTEGER NOT NULL, usd REAL NOT NULL,
    PRIMARY KEY (step, judged_by)
  ) STRICT;
CREATE TABLE judgments (
    key TEXT PRIMARY KEY, step INTEGER NOT NULL, prompt_id TEXT NOT NULL, shown TEXT NOT NULL, judge TEXT NOT NULL,
    verdicts TEXT NOT NULL
  ) STRICT;
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, question TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('asked', 'ended', 'in doubt')),
    nano_usd INTEGER NOT NULL
  ) STRICT;
CREATE TABLE killed (drawing TEXT PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
CREATE TABLE reports (
    step INTEGER PRIMARY KEY, policy_version INTEGER NOT NULL, metrics TEXT NOT NULL, trust TEXT NOT NULL
  ) STRICT;
CREATE TABLE checkpoints (
    step INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, seconds REAL NOT NULL, pairs INTEGER NOT NULL, cost_usd REAL NOT NULL
  ) STRICT;
CREATE TABLE faults (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE INDEX untrained ON preferences (id) WHERE consumed_by_step IS NULL AND dropped_at_step IS NULL;
INSERT INTO meta VALUES ('schema_version', '2');
INSERT INTO rollouts VALUES (0, 0, 0.1, 0.2, 0.3);
INSERT INTO rollouts VALUES (1, 1, 0.1, 0.2, 0.3);
INSERT INTO candidates VALUES (0, 'id of a cat', 0, 'a cat', 0, 4000000000, '[1,2]', '[3,4,5]', '[-0.1,-0.3333333333333333,-2.220446049250313e-16]', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="10" fill="#2f9e44"/></svg>', 'stop', 'Rendered', NULL, NULL, 'd354743f8fefe1d379b559f33d6c7d973b6b778570bb97bcbe9a5bc0ae105f1a');
INSERT INTO candidates VALUES (0, 'id of a cat', 1, 'a cat', 0, 4000000000, '[1,2]', '[3,4,5]', '[-0.1,-0.3333333333333333,-2.220446049250313e-16]', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="15" fill="#2f9e44"/></svg>', 'stop', 'Killed', 'deadline', '2 s', NULL);
INSERT INTO candidates VALUES (0, 'id of a cat', 2, 'a cat', 0, 4000000000, '[1,2]', '[3,4,5]', '[-0.1,-0.3333333333333333,-2.220446049250313e-16]', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="20" fill="#2f9e44"/></svg>', 'stop', 'Rendered', NULL, NULL, 'f30b6f24def1aeb9b1464380976489ae172873b42cb305a7bc8d012d2121d956');
INSERT INTO candidates VALUES (1, 'id of a cat', 0, 'a cat', 1, 4000000000, '[1,2]', '[3,4,5]', '[-0.1,-0.3333333333333333,-2.220446049250313e-16]', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="10" fill="#2f9e44"/></svg>', 'stop', 'Rendered', NULL, NULL, 'd354743f8fefe1d379b559f33d6c7d973b6b778570bb97bcbe9a5bc0ae105f1a');
INSERT INTO candidates VALUES (1, 'id of a cat', 1, 'a cat', 1, 4000000000, '[1,2]', '[3,4,5]', '[-0.1,-0.3333333333333333,-2.220446049250313e-16]', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="15" fill="#2f9e44"/></svg>', 'stop', 'Killed', 'deadline', '2 s', NULL);
INSERT INTO candidates VALUES (1, 'id of a cat', 2, 'a cat', 1, 4000000000, '[1,2]', '[3,4,5]', '[-0.1,-0.3333333333333333,-2.220446049250313e-16]', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="20" fill="#2f9e44"/></svg>', 'stop', 'Rendered', NULL, NULL, 'f30b6f24def1aeb9b1464380976489ae172873b42cb305a7bc8d012d2121d956');
INSERT INTO verdicts VALUES (0, 'id of a cat', 0, 1, 'A', 0.75, 0.9, 0.1, 'test', 'it''s a "cat"', 0.001);
INSERT INTO verdicts VALUES (0, 'id of a cat', 0, 2, 'tie', 0, NULL, NULL, 'test', NULL, NULL);
INSERT INTO verdicts VALUES (0, 'id of a cat', 1, 2, 'B', 1, NULL, NULL, 'gate', NULL, NULL);
INSERT INTO verdicts VALUES (1, 'id of a cat', 0, 1, 'A', 0.75, 0.9, 0.1, 'test', 'it''s a "cat"', 0.001);
INSERT INTO verdicts VALUES (1, 'id of a cat', 0, 2, 'tie', 0, NULL, NULL, 'test', NULL, NULL);
INSERT INTO verdicts VALUES (1, 'id of a cat', 1, 2, 'B', 1, NULL, NULL, 'gate', NULL, NULL);
INSERT INTO preferences VALUES (1, 0, 'id of a cat', 0, 1, 1, 1, 0, NULL);
INSERT INTO preferences VALUES (2, 0, 'id of a cat', 2, 1, 0.75, 0.5, 0, NULL);
INSERT INTO preferences VALUES (3, 1, 'id of a cat', 0, 1, 1, 1, NULL, NULL);
INSERT INTO preferences VALUES (4, 1, 'id of a cat', 2, 1, 0.75, 0.5, NULL, NULL);
INSERT INTO costs VALUES (0, 'test', 2, 0.001);
INSERT INTO costs VALUES (0, 'gate', 1, 0);
INSERT INTO costs VALUES (1, 'test', 2, 0.001);
INSERT INTO costs VALUES (1, 'gate', 1, 0);
