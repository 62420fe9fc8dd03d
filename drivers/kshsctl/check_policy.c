/* SPDX-License-Identifier: Apache-2.0
 *
 * check_policy.c - whether what was switched on is in force.
 *
 * bcdedit and the registry say what is to be; only the kernel says what is.
 * A guest that cannot say (null) is not refused.
 */
#include "kshsctl.h"

int verb_check_policy(int count, wchar_t **arguments)
{
    policy_facts facts;
    report r;
    int i;

    for (i = 0; i < count; i++)
        if (wcscmp(arguments[i], L"testsigning") && wcscmp(arguments[i], L"hvci")) {
            say(L"usage: kshsctl check-policy testsigning|hvci...");
            return EXIT_USAGE;
        }
    report_start(&r, "check-policy");
    report_step(&r, "check");
    policy_read(&facts);
    json_maybe(&r.body, "test_signing", facts.test_signing);
    json_maybe(&r.body, "secure_boot", facts.secure_boot);
    json_maybe(&r.body, "hvci", facts.hvci);
    for (i = 0; i < count; i++) {
        bool hvci = !wcscmp(arguments[i], L"hvci");

        if ((hvci ? facts.hvci : facts.test_signing) != 0)
            continue;
        if (!hvci && facts.secure_boot == 1)
            report_fail(&r, 0, L"test signing is not in force, because Secure Boot is on");
        else
            report_fail(&r, 0, L"%ls is not in force, although it was switched on", arguments[i]);
    }
    return report_finish(&r);
}
