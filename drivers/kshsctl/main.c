/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - kshsctl.exe: agent and installer.  One verb a call; see docs/agent.md.
 */
#include "nt.h"

#define ANY_NUMBER 64

static const struct verb {
    const wchar_t *name;
    verb_function run;
    int least, most;                /* arguments */
    const wchar_t *arguments;
    const wchar_t *what;
} verbs[] = {
    { L"serve", verb_serve, 0, 1, L"[warm]", L"the agent: frames on stdin and stdout until BYE or end of file" },
    { L"hold", verb_hold, 0, 0, L"", L"keeps the guest's services alive until stdin closes" },
    { L"abi", verb_abi, 0, 0, L"", L"version and layout of every structure" },
    { L"info", verb_info, 0, ANY_NUMBER, L"[SERVICE...]", L"what this guest is" },
    { L"ping", verb_ping, 0, 0, L"", L"opens the client and prints its version" },
    { L"install-cert", verb_install_cert, 1, ANY_NUMBER, L"FILE...", L"into LocalMachine Root and TrustedPublisher" },
    { L"uninstall-cert", verb_uninstall_cert, 1, ANY_NUMBER, L"FILE...", L"the reverse" },
    { L"install-ks", verb_install_ks, 1, 1, L"FILE", L"reference class driver, where the guest has none" },
    { L"install-client", verb_install_client, 1, 1, L"FILE", L"copies ksclient.sys, creates and starts its service" },
    { L"uninstall-client", verb_uninstall_client, 0, 0, L"", L"stops and deletes it" },
    { L"install-device", verb_install_device, 2, 3, L"INF HWID [SERVICE]", L"root-enumerated device and its driver" },
    { L"uninstall-device", verb_uninstall_device, 1, 1, L"HWID", L"removes the devices of that hardware id" },
    { L"install-component", verb_install_component, 2, 2, L"INF HWID", L"a software component, as a device of its own" },
    { L"stage-inf", verb_stage_inf, 1, 1, L"INF", L"into the driver store, for the system to find" },
    { L"device", verb_device, 1, 1, L"HWID", L"the device of that hardware id and the driver that is bound to it" },
    { L"setupapi-log", verb_setupapi_log, 0, 1, L"[OFFSET]", L"length, or a piece, of the log of installations" },
    { L"install-crash-recorder", verb_install_crash_recorder, 0, 0, L"", L"where the guest has no bugchecks" },
    { L"crash", verb_crash, 2, 2, L"PID EVENT", L"the recorder; started by the system" },
    { L"threads", verb_threads, 0, 0, L"", L"the stacks of those that drivers run on, where drivers live in a process" },
    { L"modules", verb_modules, 0, 0, L"", L"where drivers are loaded, and from which files" },
    { L"trace", verb_trace, 1, ANY_NUMBER, L"WHAT ...", L"start DEVICE, status, save FILE, stop DEVICE: docs/tracing.md" },
    { L"supervise", verb_supervise, 1, 1, L"SCRIPT", L"runs provisioning: elevated, one at a time" },
    { L"milestone", verb_milestone, 1, 4, L"KIND ...", L"a line to COM1 and to provision.log" },
    { L"check-files", verb_check_files, 1, 1, L"LIST", L"whether the files of a list of SHA-256 are whole" },
    { L"start-service", verb_start_service, 1, 1, L"SERVICE", L"now and, delayed, with every start; waits until it runs" },
    { L"disable-service", verb_disable_service, 1, ANY_NUMBER, L"SERVICE...", L"and stops them; absent ones are no error" },
    { L"settle", verb_settle, 2, 2, L"QUIET LIMIT", L"waits until the system has been at rest, in seconds" },
    { L"check-policy", verb_check_policy, 1, ANY_NUMBER, L"POLICY...", L"whether testsigning or hvci is in force" },
    { L"verifier-check", verb_verifier_check, 3, 3, L"FILE CLASSES DRIVERS", L"settings of Driver Verifier as asked?" },
};

static int usage(void)
{
    size_t i;

    say(L"usage: kshsctl VERB [ARGUMENT...]");
    for (i = 0; i < ARRAY_COUNT(verbs); i++)
        say(L"  %-23ls%-14ls%ls", verbs[i].name, verbs[i].arguments, verbs[i].what);
    say(L"exit codes: 0 done, 1 failed, 2 bad usage, 3010 done, but a reboot is needed");
    return EXIT_USAGE;
}

int wmain(int argc, wchar_t **argv)
{
    size_t i;

    nt_load();
    if (argc < 2)
        return usage();
    for (i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (wcscmp(argv[1], verbs[i].name))
            continue;
        if (argc - 2 < verbs[i].least || argc - 2 > verbs[i].most) {
            say(L"usage: kshsctl %ls %ls", verbs[i].name, verbs[i].arguments);
            return EXIT_USAGE;
        }
        return verbs[i].run(argc - 2, argv + 2);
    }
    say(L"kshsctl: there is no verb \"%ls\"", argv[1]);
    return usage();
}
