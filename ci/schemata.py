"""Rewrites a source so that all mutants of it are compiled in at once, each behind a switch: `if on(7) { mutated } else { original }`.

These are mutant schemata (Untch, Offutt and Harrold, 1993). cargo-mutants names an operator, or a part of a `match` or of a struct; what
has to be written twice is the expression around it. Its extent is found on tokens, by Rust's precedences. That rests on rustfmt: a binary
operator has blanks on both sides, a unary one, a closure's bars and generics have not. An expression that is found wrongly does not compile,
as a rule, and the mutant is then made alone, as cargo-mutants makes it.

What is written stands between `/*{7,8*/` and `/*}*/`, with the numbers of the mutants that it belongs to: so an error of the compiler is
laid to them.
"""

import bisect
import re

LEVELS = ["= += -= *= /= %= &= |= ^= <<= >>=", ".. ..=", "||", "&&", "== != < > <= >=", "|", "^", "&", "<< >>", "+ -", "* / %"]
LEVEL = {operator: level for level, operators in enumerate(LEVELS) for operator in operators.split()}
TIGHTEST = len(LEVELS)
TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*)|(?P<comment>/\*)|(?P<raw>b?c?r(?P<hashes>\#*)")|(?P<text>[bc]?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\[^u]|\\x..|\\u\{\w+\})')
    |(?P<word>'?(?:r\#)?[^\W\d]\w*|\d(?:[\w]|\.(?=\d))*(?:(?<=[eE])[+-]\d+)?)|(?P<sign><<=|>>=|\.\.=|::|->|=>|[-+*/%&|^=!<>]=|&&|\|\||<<|>>|\.\.|.)""",
    re.VERBOSE | re.DOTALL,
)
PAIRS = {"(": ")", "[": "]", "{": "}"}
# An expression goes on neither to the left nor to the right of these.
LIMITS = {",", ";", "=>", ":", "@", "->", "#", "..", "..=", "return", "break", "if", "while", "match", "in", "let", "else", "for", "loop"}
LIMITS |= {operator for operator, level in LEVEL.items() if level == 0}
WITH_BLOCK = {"if", "match", "unsafe", "loop", "while", "for", "async", "{"}
NO_OPERAND = {"as", "mut", "ref", "move", "dyn", "const", "raw", "unsafe", "async", "impl"} | LIMITS
MARK = re.compile(r"/\*\{([\d,]+)\*/|/\*\}\*/")


class Source:
    """A Rust file in tokens: words, literals and signs, each with its start and end."""

    def __init__(self, text):
        self.text = text
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.words, self.starts, self.ends, self.partner = [], [], [], {}
        open_groups, at = [], 0
        while at < len(text):
            match = TOKEN.match(text, at)
            end = match.end()
            if match["comment"]:
                end = self.end_of_comment(at)
            elif match["raw"]:
                end = text.index('"' + match["hashes"], end) + 1 + len(match["hashes"])
            if not match["blank"] and not match["comment"]:
                word = text[at:end]
                if word in PAIRS:
                    open_groups.append(len(self.words))
                elif word in PAIRS.values():
                    opener = open_groups.pop()
                    self.partner[opener], self.partner[len(self.words)] = len(self.words), opener
                self.words.append(word)
                self.starts.append(at)
                self.ends.append(end)
            at = end

    def end_of_comment(self, at):
        depth = 0
        for match in re.finditer(r"/\*|\*/", self.text[at:]):
            depth += 1 if match[0] == "/*" else -1
            if depth == 0:
                return at + match.end()
        raise ValueError("a comment without an end")

    def offset(self, place):
        return self.lines[place["line"] - 1] + place["column"] - 1

    def token_at(self, offset):
        """Returns the first token that starts there or later."""
        return bisect.bisect_left(self.starts, offset)

    def is_binary(self, at):
        start, end = self.starts[at], self.ends[at]
        return self.words[at] in LEVEL and self.text[start - 1].isspace() and self.text[end].isspace()

    def begins_operand(self, at, before):
        """Returns whether an expression begins here, if the token before could end one."""
        word = self.words[at]
        if re.match(r"[\w'\"]", word):
            return word not in NO_OPERAND or word in ("unsafe", "async")
        return self.words[before] == "}" and word in ("*", "&", "-", "!", "(", "[") and not self.is_binary(at)

    def ends_operand(self, at):
        word = self.words[at]
        return word in (")", "]", "}", "?") or bool(re.match(r"[\w'\"]", word)) and word not in NO_OPERAND

    def first_of_operand(self, operator, level):
        """Returns the first token of what stands left of an operator."""
        at = operator
        while at > 0:
            before = at - 1
            word = self.words[before]
            if word in PAIRS or word in LIMITS or word in ("|", "||") and not self.is_binary(before):
                break
            if self.is_binary(before):
                if LEVEL[word] < level:
                    break
            elif at != operator and self.ends_operand(before) and self.begins_operand(at, before):
                break
            at = self.partner[before] if word in PAIRS.values() else before
        return at

    def end_of_operand(self, operator, level):
        """Returns the end of what stands right of an operator, as an offset."""
        at, begins = operator + 1, True
        while at < len(self.words):
            word = self.words[at]
            if begins and word in WITH_BLOCK:
                at, begins = self.end_of_block(at), False
            elif begins and word in ("!", "-", "*", "&", "&&", "mut"):
                at += 1
            elif word in ("(", "["):
                at, begins = self.partner[at] + 1, False
            elif word in PAIRS or word in PAIRS.values() or word in LIMITS:
                break
            elif self.is_binary(at):
                if LEVEL[word] <= level:
                    break
                at, begins = at + 1, True
            else:
                at, begins = at + 1, False
        return self.ends[at - 1]

    def end_of_block(self, at):
        while True:
            while self.words[at] != "{":
                at = self.partner[at] + 1 if self.words[at] in ("(", "[") else at + 1
            at = self.partner[at] + 1
            if self.words[at] != "else":
                return at

    def opener_around(self, at):
        """Returns the token that opens the group in which this one is."""
        while self.words[at] not in PAIRS:
            at -= 1
            if self.words[at] in PAIRS.values():
                at = self.partner[at] - 1
        return at

    def extent(self, genre, start, end):
        """Returns where the expression begins and ends in which a mutant of this kind makes its change."""
        at = self.token_at(start)
        if genre == "BinaryOperator":
            level = LEVEL[self.words[at]]
            return self.starts[self.first_of_operand(at, level)], self.end_of_operand(at, level)
        if genre == "UnaryOperator":
            return start, self.end_of_operand(at, TIGHTEST)
        if genre == "StructField":
            brace = first = self.opener_around(at)
            while self.words[first - 1] == "::" or re.match(r"\w", self.words[first - 1]) and self.words[first] in ("{", "::"):
                first -= 1
            return self.starts[first], self.ends[self.partner[brace]]
        return start, end


def marked(mutants, text):
    return f"/*{{{','.join(str(mutant.number) for mutant in mutants)}*/ {text} /*}}*/"


def on(mutant):
    return f"::logic_switch::on({mutant.number})"


def as_function(source, mutants, _start, _end, inner):
    """Marks a whole function: an error in its signature is laid to its mutants."""
    return marked(mutants, inner)


def as_body(source, mutants, _start, _end, inner):
    ways = "".join(f"if {on(mutant)} {{ return {marked([mutant], mutant.replacement)}; }} " for mutant in mutants)
    return marked(mutants, ways + inner)


def as_arm(source, mutants, start, end, inner):
    # What was rewritten in the arm is behind `=>`, or in its guard: the arm up to there is read anew.
    arm = Source(inner)
    at = guard = 0
    while arm.words[at] != "=>":
        guard = at if arm.words[at] == "if" else guard
        at = arm.partner[at] + 1 if arm.words[at] in PAIRS else at + 1
    off = " && ".join("!" + on(mutant) for mutant in mutants)
    pattern = inner[: arm.starts[guard or at]]
    also = f" && ({inner[arm.ends[guard] : arm.starts[at]]})" if guard else ""
    return marked(mutants, f"{pattern}if {off}{also} {inner[arm.starts[at] :]}")


def as_expression(source, mutants, start, end, inner):
    ways = ""
    for mutant in mutants:
        mutated = source.text[start : mutant.start] + mutant.replacement + source.text[mutant.end : end]
        ways += f"if {on(mutant)} {{ {marked([mutant], mutated)} }} else "
    return marked(mutants, f"({ways}{{ {inner} }})")


def as_itself(source, mutants, _start, _end, _inner):
    (mutant,) = mutants
    return marked(mutants, mutant.replacement)


def written(source, parts):
    """Returns the text with each part (start, end, rank, how, mutants) written anew by `how`; parts are in one another, or apart."""
    parts = sorted(parts, key=lambda part: (part[0], -part[1], part[2]))

    def upto(end, at):
        text = ""
        while parts and parts[0][0] < end:
            start, stop, _, how, mutants = parts.pop(0)
            if stop > end:
                raise ValueError(f"expressions overlap: {[mutant.name for mutant in mutants]}")
            text += source.text[at:start] + how(source, mutants, start, stop, upto(stop, start))
            at = stop
        return text + source.text[at:end]

    return upto(len(source.text), 0)


def functions(mutants):
    """Returns the parts that mark the functions of mutants."""
    around = {}
    for mutant in mutants:
        if mutant.function:
            around.setdefault(mutant.function, []).append(mutant)
    return [(start, end, 0, as_function, inside) for (start, end), inside in around.items()]


def with_all(source, mutants):
    """Returns the text with all these mutants compiled in."""
    ways = {"FnValue": (1, as_body), "MatchArm": (1, as_arm)}
    places = {}
    for mutant in mutants:
        rank, how = ways.get(mutant.genre, (2, as_expression))
        places.setdefault((*source.extent(mutant.genre, mutant.start, mutant.end), rank, how), []).append(mutant)
    return written(source, functions(mutants) + [(*place, inside) for place, inside in places.items()])


def with_some(source, mutants):
    """Returns the text as cargo-mutants would write it, with each of these mutants made; they are apart."""
    return written(source, functions(mutants) + [(mutant.start, mutant.end, 2, as_itself, [mutant]) for mutant in mutants])


def blamed(text, line, column):
    """Returns the mutants in whose part of a rewritten text a place is: those of the innermost one."""
    at = sum(len(before) + 1 for before in text.split("\n")[: line - 1]) + column - 1
    around = []
    for mark in MARK.finditer(text):
        if mark.start() > at:
            break
        if mark[1]:
            around.append([int(number) for number in mark[1].split(",")])
        else:
            around.pop()
    return around[-1] if around else []
