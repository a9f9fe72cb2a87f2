// A file on its way to the server, with its progress.

export function upload(address, file, most, bar) {
  if (file.size > most) {
    return Promise.reject(new Error(`has ${Math.ceil(file.size / 2 ** 20)} MiB, at most ${most / 2 ** 20} are taken`));
  }
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${address}?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; };
    request.onload = () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { /* no JSON: said below */ }
      if (request.status === 201) resolve(found);
      else reject(new Error(found.error || `the server said ${request.status}`));
    };
    request.onerror = () => reject(new Error("the connection was lost; choose it again"));
    request.send(file);
  });
}
