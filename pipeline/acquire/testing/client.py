"""How is an unmodified astroquery pointed at a server other than the archive?

`astroquery.mast.conf.server = ...` after the import does nothing: the addresses are made while
astroquery is imported.
"""

from os import PathLike
from pathlib import Path
from typing import Any


def configure_astroquery(folder: str | PathLike[str], url: str) -> dict[str, str]:
    """With which environment does a new process find this server instead of the archive?

    Parameters
    ----------
    folder : path-like
        Where configuration and caches go; it is made.
    url : str
        Address of the server.

    Returns
    -------
    dict
        Variables to set before astroquery is imported.
    """
    root = Path(folder)
    for name in ("config", "cache"):
        (root / name / "astropy").mkdir(parents=True, exist_ok=True)
    text = f"[mast]\nserver = {url}\nssoserver = {url}\ncatalogs_server = {url}\n"
    (root / "config" / "astropy" / "astroquery.cfg").write_text(text)
    return {
        "XDG_CONFIG_HOME": str(root / "config"),
        "XDG_CACHE_HOME": str(root / "cache"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }


def point_astroquery(client: Any, url: str) -> Any:
    """Make an Observations, Mast or MastMissions object of this process speak with a server.

    `MastMissions.get_column_list` reads the configuration instead: set
    ``astroquery.mast.conf.server`` as well where it is used.

    Parameters
    ----------
    client : object
        An instance of one of astroquery's MAST classes; it is given back.
    url : str
        Address of the server.
    """
    portal, service = client._portal_api_connection, client._service_api_connection
    portal.MAST_REQUEST_URL = f"{url}/api/v0/invoke"
    portal.COLUMNS_CONFIG_URL = f"{url}/portal/Mashup/Mashup.asmx/columnsconfig"
    portal.MAST_DOWNLOAD_URL = f"{url}/api/v0.1/Download/file"
    portal.MAST_BUNDLE_URL = f"{url}/api/v0.1/Download/bundle"
    portal._column_configs = {}  # shared by all instances otherwise
    service.SERVICE_URL = url
    service.REQUEST_URL = f"{url}/api/v0.1/"
    service.MISSIONS_DOWNLOAD_URL = f"{url}/search/"
    service.MAST_DOWNLOAD_URL = f"{url}/api/v0.1/Download/file"
    client._auth_obj.SESSION_INFO_URL = f"{url}/whoami"
    if hasattr(client, "service_dict"):
        service.set_service_params(client.service_dict, f"search/{client.mission}")
    return client
