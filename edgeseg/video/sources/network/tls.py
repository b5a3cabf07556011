"""Whom an encrypted connection may lead to: those whose certificate is right, unless told otherwise."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from importlib import import_module

from edgeseg.errors import SourceError

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, JetPack
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/cert.pem",  # Alpine, macOS
    "/etc/ssl/ca-bundle.pem",  # openSUSE
)


def tls_context(*, verify: bool = True, ca_file: str | None = None) -> ssl.SSLContext:
    """How to connect: the certificate has to be valid, of the host's name, and signed by one whom this system trusts.

    Args:
        verify: False takes any certificate, also that of whoever sits between.
        ca_file: PEM certificates to trust instead of the system's: of a camera, or of who signed it.

    Raises:
        SourceError: the file cannot be read, or holds no certificate.
    """
    if not verify:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            why = "no certificate in PEM" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", error)
            raise SourceError(f"ca_file {ca_file} cannot be used ({why})", "Pass a file of PEM certificates") from None
        # From 3.13 on, Python also refuses those that lack fields which cameras and self-made authorities leave out.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath or context.cert_store_stats()["x509_ca"]):  # a Python that was made elsewhere
        for bundle in _bundles():
            with suppress(OSError):
                context.load_verify_locations(bundle)
                break
    return context


def _bundles() -> list[str]:
    found = [bundle for bundle in _BUNDLES if os.path.exists(bundle)]
    with suppress(ImportError):
        found.append(str(import_module("certifi").where()))
    return found
