/* SPDX-License-Identifier: Apache-2.0
 *
 * install_cert.c - certificates of the local machine: self-signed ones into
 * Root and TrustedPublisher, all others into TrustedPublisher alone.
 */
#include "kshsctl.h"
#include <wincrypt.h>

#define MAX_CERTIFICATE_BYTES 65536

static struct {
    HCERTSTORE (WINAPI *open)(LPCSTR provider, DWORD encoding, HCRYPTPROV_LEGACY unused, DWORD flags,
                              const void *parameter);
    BOOL (WINAPI *close)(HCERTSTORE store, DWORD flags);
    BOOL (WINAPI *control)(HCERTSTORE store, DWORD flags, DWORD what, const void *parameter);
    PCCERT_CONTEXT (WINAPI *create)(DWORD encoding, const BYTE *data, DWORD length);
    BOOL (WINAPI *free)(PCCERT_CONTEXT certificate);
    BOOL (WINAPI *add)(HCERTSTORE store, PCCERT_CONTEXT certificate, DWORD disposition, PCCERT_CONTEXT *out);
    PCCERT_CONTEXT (WINAPI *find)(HCERTSTORE store, DWORD encoding, DWORD flags, DWORD type, const void *what,
                                  PCCERT_CONTEXT before);
    BOOL (WINAPI *remove)(PCCERT_CONTEXT certificate);
    BOOL (WINAPI *same_name)(DWORD encoding, PCERT_NAME_BLOB one, PCERT_NAME_BLOB other);
    BOOL (WINAPI *property)(PCCERT_CONTEXT certificate, DWORD id, void *data, DWORD *length);
    DWORD (WINAPI *name)(PCCERT_CONTEXT certificate, DWORD type, DWORD flags, void *parameter, LPWSTR out, DWORD count);
    BOOL (WINAPI *decode)(LPCSTR text, DWORD count, DWORD flags, BYTE *out, DWORD *length, DWORD *skip, DWORD *used);
} crypt;

static bool load(report *r)
{
    static const struct {
        const char *name;
        void *slot;
    } functions[] = {
        { "CertOpenStore", &crypt.open },
        { "CertCloseStore", &crypt.close },
        { "CertControlStore", &crypt.control },
        { "CertCreateCertificateContext", &crypt.create },
        { "CertFreeCertificateContext", &crypt.free },
        { "CertAddCertificateContextToStore", &crypt.add },
        { "CertFindCertificateInStore", &crypt.find },
        { "CertDeleteCertificateFromStore", &crypt.remove },
        { "CertCompareCertificateName", &crypt.same_name },
        { "CertGetCertificateContextProperty", &crypt.property },
        { "CertGetNameStringW", &crypt.name },
        { "CryptStringToBinaryA", &crypt.decode },
    };
    HMODULE module = LoadLibraryW(L"crypt32.dll");
    size_t i;

    for (i = 0; i < ARRAY_COUNT(functions); i++) {
        FARPROC found = module ? GetProcAddress(module, functions[i].name) : NULL;

        if (!found)
            return report_fail(r, GetLastError(), L"this guest has no %hs (crypt32.dll)", functions[i].name);
        memcpy(functions[i].slot, &found, sizeof(found));
    }
    return true;
}

static PCCERT_CONTEXT read_certificate(report *r, const wchar_t *file)
{
    PCCERT_CONTEXT certificate = NULL;
    uint8_t *data, der[MAX_CERTIFICATE_BYTES];
    DWORD error, der_length = sizeof(der);
    size_t length;

    error = file_read(file, MAX_CERTIFICATE_BYTES, &data, &length);
    if (error) {
        report_fail(r, error, L"%ls cannot be read as a certificate (1 to %u bytes)", file, MAX_CERTIFICATE_BYTES);
        return NULL;
    }
    if (length > 10 && !memcmp(data, "-----BEGIN", 10)) {
        if (crypt.decode((LPCSTR)data, (DWORD)length, CRYPT_STRING_BASE64HEADER, der, &der_length, NULL, NULL))
            certificate = crypt.create(X509_ASN_ENCODING, der, der_length);
    } else {
        certificate = crypt.create(X509_ASN_ENCODING, data, (DWORD)length);
    }
    if (!certificate)
        report_fail(r, GetLastError(), L"%ls holds no X.509 certificate (DER or PEM)", file);
    free(data);
    return certificate;
}

/* Read back through a handle of its own: a store that was opened to write has a cache. */
static bool in_store(PCCERT_CONTEXT certificate, const wchar_t *name)
{
    HCERTSTORE store = crypt.open(CERT_STORE_PROV_SYSTEM_W, 0, 0,
                                  CERT_SYSTEM_STORE_LOCAL_MACHINE | CERT_STORE_READONLY_FLAG, name);
    PCCERT_CONTEXT found = NULL;

    if (!store)
        return false;
    found = crypt.find(store, X509_ASN_ENCODING, 0, CERT_FIND_EXISTING, certificate, NULL);
    if (found)
        crypt.free(found);
    crypt.close(store, 0);
    return found != NULL;
}

static bool change_store(report *r, PCCERT_CONTEXT certificate, const wchar_t *name, bool install)
{
    HCERTSTORE store = crypt.open(CERT_STORE_PROV_SYSTEM_W, 0, 0, CERT_SYSTEM_STORE_LOCAL_MACHINE, name);
    PCCERT_CONTEXT found;
    bool done = true;

    if (!store)
        return report_fail(r, GetLastError(), L"the store LocalMachine\\%ls cannot be opened", name);
    if (install) {
        if (!crypt.add(store, certificate, CERT_STORE_ADD_REPLACE_EXISTING, NULL))
            done = report_fail(r, GetLastError(), L"LocalMachine\\%ls takes no certificate", name);
    } else {
        found = crypt.find(store, X509_ASN_ENCODING, 0, CERT_FIND_EXISTING, certificate, NULL);
        if (found && !crypt.remove(found))      /* frees it in any case; not there is fine */
            done = report_fail(r, GetLastError(), L"LocalMachine\\%ls does not let go of the certificate", name);
    }
    /* Wine 8 leaks a reference when it deletes, and would never write.  Windows has written already, and may
     * say that it knows no commit. */
    crypt.control(store, 0, CERT_STORE_CTRL_COMMIT, NULL);
    /* Writes are done at the latest here. */
    if (!crypt.close(store, 0) && done)
        done = report_fail(r, GetLastError(), L"LocalMachine\\%ls was not written", name);
    if (done && install && !in_store(certificate, name))
        done = report_fail(r, 0, L"LocalMachine\\%ls took the certificate and does not have it", name);
    if (done)
        json_text(&r->body, NULL, name);
    return done;
}

static void describe(report *r, PCCERT_CONTEXT certificate, const wchar_t *file)
{
    BYTE sha1[20];
    DWORD length = sizeof(sha1), i;
    wchar_t subject[256];
    char text[41] = "";

    if (crypt.property(certificate, CERT_SHA1_HASH_PROP_ID, sha1, &length))
        for (i = 0; i < length; i++)
            snprintf(text + 2 * i, 3, "%02x", sha1[i]);
    if (!crypt.name(certificate, CERT_NAME_SIMPLE_DISPLAY_TYPE, 0, NULL, subject, ARRAY_COUNT(subject)))
        subject[0] = 0;
    json_text(&r->body, "file", file);
    json_text(&r->body, "subject", subject);
    json_utf8(&r->body, "sha1", text);
}

static int change(const char *verb, int count, wchar_t **files, bool install)
{
    report r;
    int i;

    report_start(&r, verb);
    report_step(&r, "load");
    if (!load(&r))
        return report_finish(&r);
    report_step(&r, install ? "install" : "uninstall");
    json_array(&r.body, "certificates");
    for (i = 0; i < count && !r.failed; i++) {
        PCCERT_CONTEXT certificate = read_certificate(&r, files[i]);
        bool self_signed;

        if (!certificate)
            break;
        self_signed = crypt.same_name(X509_ASN_ENCODING, &certificate->pCertInfo->Subject,
                                      &certificate->pCertInfo->Issuer) != 0;
        json_object(&r.body, NULL);
        describe(&r, certificate, files[i]);
        json_array(&r.body, "stores");
        if (!self_signed || change_store(&r, certificate, L"Root", install))
            change_store(&r, certificate, L"TrustedPublisher", install);
        json_end(&r.body);
        json_end(&r.body);
        crypt.free(certificate);
    }
    json_end(&r.body);
    return report_finish(&r);
}

int verb_install_cert(int count, wchar_t **arguments)
{
    return change("install-cert", count, arguments, true);
}

int verb_uninstall_cert(int count, wchar_t **arguments)
{
    return change("uninstall-cert", count, arguments, false);
}
