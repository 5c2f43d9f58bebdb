"""The scripts by which bash and zsh complete; that of fish is click's own.

Click's scripts put a space behind whatever they complete, also behind a key that waits for its value, and bash takes a
word apart at `=` and `:` before click sees it.
"""

import os
import re

from click.shell_completion import BashComplete, ZshComplete, add_completion_class, split_arg_string

_SPECIAL = re.compile(r"([\s\"'\\`$&|;<>(){}\[\]*?!#])")


class Bash(BashComplete):
    """Bash, which is asked for the line up to the cursor, and which replaces what follows the last `=` or `:`."""

    source_template = r"""
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value"); [[ $value == *[=./] ]] && compopt -o nospace ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
        %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words of the line behind the program, and the one that is being written."""
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)[1:]
        return (words, "") if line[-1:].isspace() or not words else (words[:-1], words[-1])

    def complete(self) -> str:
        """The completions, each from where bash begins to replace."""
        args, incomplete = self.get_completion_args()
        written = incomplete.partition("=")[2] if incomplete.startswith("-") else incomplete
        kept = 1 + max((written.rfind(sign) for sign in "=:" if sign in os.environ["COMP_WORDBREAKS"]), default=-1)
        found = self.get_completions(args, incomplete)
        return "\n".join(f"{item.type},{_quoted(item.value[kept:])}" for item in found)


def _quoted(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


class Zsh(ZshComplete):
    """Zsh, without a space behind what is to be continued."""

    source_template = r"""
#compdef %(prog_name)s

%(complete_func)s() {
    local type value text item
    local -a response closed open
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
        %(complete_var)s=zsh_complete %(prog_name)s)}")
    for type value text in ${response}; do
        item="$value:$text"
        [[ $text == _ ]] && item="${value//:/\\:}"
        case $type in
            plain) if [[ $value == *[=./] ]]; then open+=("$item"); else closed+=("$item"); fi ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#closed )) && _describe -V unsorted closed -U
    (( $#open )) && _describe -V unsorted open -U -S ''
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


def register() -> None:
    """Let click use these scripts."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
