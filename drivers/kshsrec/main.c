/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - kshsrec.exe: the two verbs of kshsctl.exe that a guest must start
 * quickly, because a crash or a hang waits for them.
 *
 * Wine starts a console and, for its window, a desktop beside a console program
 * that a service starts; and the libraries that installing needs take as long to
 * load as everything else that a start does.  So this is a program with windows,
 * of which it opens none, and it needs little beside kernel32.dll.
 */
#include "../kshsctl/nt.h"

int wmain(int argc, wchar_t **argv)
{
    if (argc == 4 && !wcscmp(argv[1], L"crash")) {
        /* The system starts it: what it inherits are the streams of the process that crashed. */
        SetStdHandle(STD_OUTPUT_HANDLE, NULL);
        SetStdHandle(STD_ERROR_HANDLE, NULL);
        return verb_crash(argc - 2, argv + 2);
    }
    if (argc == 2 && !wcscmp(argv[1], L"threads"))
        return verb_threads(argc - 2, argv + 2);
    say(L"usage: kshsrec crash PID EVENT | threads; as those verbs of kshsctl are");
    return EXIT_USAGE;
}
