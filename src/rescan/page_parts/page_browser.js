// The slice browser of volumes: see page_browser.html. `browse` is called when a browser is first seen.
const browse = (root) => {
  const volume = JSON.parse(root.querySelector("script").textContent);
  const canvas = root.querySelector("canvas"), pen = canvas.getContext("2d");
  const choice = root.querySelector("select"), [place, opacity] = root.querySelectorAll("input");
  const [which, strength] = root.querySelectorAll("output");
  const bytes = atob(volume.colors), ready = [];

  const sheet = async (base64) => {
    const image = new Image();
    image.src = "data:image/jpeg;base64," + base64;
    await image.decode();
    return image;
  };

  // The map's sheet in color: the higher its value, the less transparent.
  const colored = (image) => {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [image.naturalWidth, image.naturalHeight];
    const brush = copy.getContext("2d");
    brush.drawImage(image, 0, 0);
    const pixels = brush.getImageData(0, 0, copy.width, copy.height), values = pixels.data;
    for (let i = 0; i < values.length; i += 4) {
      const value = values[i];
      for (let k = 0; k < 3; k++) values[i + k] = bytes.charCodeAt(3 * value + k);
      values[i + 3] = value;
    }
    brush.putImageData(pixels, 0, 0);
    return copy;
  };

  const draw = async () => {
    const number = +choice.value, view = volume.views[number];
    ready[number] ??= Promise.all([sheet(view.slices), sheet(view.maps).then(colored)]);
    const sheets = await ready[number];
    if (number !== +choice.value) return;
    const i = +place.value, [width, height] = view.cell;
    const from = [(i % view.columns) * width, Math.floor(i / view.columns) * height, view.width, view.height];
    pen.clearRect(0, 0, canvas.width, canvas.height);
    [1, opacity.value / 100].forEach((alpha, layer) => {
      pen.globalAlpha = alpha;
      pen.drawImage(sheets[layer], ...from, 0, 0, canvas.width, canvas.height);
    });
    which.textContent = `${view.numbers[i]} of ${view.of}`;
    strength.textContent = `${opacity.value} %`;
    place.setAttribute("aria-valuetext", which.textContent);
    canvas.setAttribute("aria-label", `${volume.title}; ${view.name}: ${which.textContent}`);
  };

  const open = () => {
    const view = volume.views[+choice.value], zoom = Math.ceil(340 / view.width);
    [canvas.width, canvas.height] = [view.width * zoom, view.height * zoom];
    place.max = view.numbers.length - 1;
    place.value = view.start;
    draw();
  };

  choice.addEventListener("change", open);
  for (const slider of [place, opacity]) slider.addEventListener("input", draw);
  open();
};
