// Inspects photographs in the browser with an exported detector, which lies beside this file as
// detector.onnx. Nothing leaves the device.

import * as ort from "onnxruntime-web/wasm";

/** @template {HTMLElement} T @param {string} selector @param {new () => T} kind @returns {T} */
function element(selector, kind) {
    const found = document.querySelector(selector);
    if (!(found instanceof kind)) throw new Error(`expected ${selector}, got ${found}`);
    return found;
}

const file = element("#file", HTMLInputElement);
const camera = element("#camera", HTMLButtonElement);
const video = element("#video", HTMLVideoElement);
const verdict = element("#verdict", HTMLElement);
const numbers = element("#numbers", HTMLElement);

ort.env.wasm.numThreads = 1;  // several need headers of the server: COOP and COEP
ort.env.wasm.proxy = true;    // a worker computes, and the page stays alive

/** Refuses files that browsers read otherwise than the detector. @param {Blob} photograph */
async function check(photograph) {
    const head = new Uint8Array(await photograph.slice(0, 25).arrayBuffer());
    const isPng = [137, 80, 78, 71].every((byte, at) => head[at] === byte);
    const isJpeg = head[0] === 0xFF && head[1] === 0xD8;
    if (!isPng && !isJpeg) throw new Error("expected a PNG or JPEG, got another file; convert it to PNG");
    if (isPng && head[24] > 8)
        throw new Error("expected 8 bits a channel, got 16; shift them as bit_depth says");
}

/** Pixels as they are in the file: RGBA, without conversion of colours. @param {ImageBitmapSource} source */
async function pixelsOf(source) {
    if (source instanceof Blob) await check(source);
    const bitmap = await createImageBitmap(
        source, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    if (!context) throw new Error("expected a canvas, got none");
    context.drawImage(bitmap, 0, 0);
    const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height);
    for (let at = 3; at < pixels.data.length; at += 4) {
        // A canvas has black where nothing is opaque, as the detector; in between it rounds.
        if (pixels.data[at] % 255)
            throw new Error("expected opaque pixels, got half transparent ones; make them opaque");
        pixels.data[at] = 255;
    }
    return pixels;
}

/** @param {ort.InferenceSession} session @param {ImageData} pixels */
async function inspected(session, { data, height, width }) {
    const rgb = new Uint8Array(height * width * 3);
    for (let from = 0, to = 0; from < data.length; from += 4)
        for (let channel = 0; channel < 3; channel++) rgb[to++] = data[from + channel];
    const photographs = new ort.Tensor("uint8", rgb, [1, height, width, 3]);
    const outputs = await session.run({ photographs });
    const score = Number(outputs.score.data[0]);
    if (isNaN(score))  // the network's crop, or the region of interest, lies beyond it
        throw new Error(`expected the shape of learned photographs, got ${width} x ${height}; cut it likewise`);
    return {
        score,
        pValue: Number(outputs.p_value.data[0]),
        isAnomalous: Boolean(outputs.is_anomalous.data[0]),
        map: /** @type {Float32Array} */ (outputs.anomaly_map.data),
        regions: /** @type {Uint8Array} */ (outputs.regions.data),
    };
}

/** @param {string} selector @param {ImageData} pixels */
function drawn(selector, pixels) {
    const canvas = element(selector, HTMLCanvasElement);
    canvas.height = pixels.height;
    canvas.width = pixels.width;
    canvas.getContext("2d")?.putImageData(pixels, 0, 0);
}

/** @param {ImageData} pixels @param {Awaited<ReturnType<typeof inspected>>} answer */
function show(pixels, { score, pValue, isAnomalous, map, regions }) {
    verdict.textContent = isAnomalous ? "Anomalous" : "Good";
    verdict.dataset.verdict = isAnomalous ? "anomalous" : "good";
    numbers.textContent = `score ${score.toPrecision(8)}, p-value ${pValue.toPrecision(3)}`;
    const highest = map.reduce((most, value) => Math.max(most, value), 1e-30);
    const heat = new ImageData(pixels.width, pixels.height);
    for (let at = 0; at < map.length; at++) {
        heat.data.fill(255 * map[at] / highest, 4 * at, 4 * at + 3);
        heat.data[4 * at + 3] = 255;
        if (regions[at])
            for (const [channel, full] of [255, 0, 0].entries())
                pixels.data[4 * at + channel] = (pixels.data[4 * at + channel] + full) / 2;
    }
    drawn("#regions", pixels);
    drawn("#map", heat);
    element(".pictures", HTMLElement).hidden = false;
}

/** @param {ort.InferenceSession} session @param {ImageBitmapSource} source */
async function inspect(session, source) {
    file.disabled = camera.disabled = true;
    delete verdict.dataset.verdict;
    verdict.textContent = "Inspecting …";
    numbers.textContent = "";
    try {
        const pixels = await pixelsOf(source);
        show(pixels, await inspected(session, pixels));
    } catch (error) {
        element(".pictures", HTMLElement).hidden = true;  // of the photograph before
        verdict.textContent = `The photograph could not be inspected: ${error}`;
    }
    file.disabled = camera.disabled = false;
}

async function openCamera() {
    const wanted = { video: { facingMode: "environment", width: { ideal: 1920 } } };
    video.srcObject = await navigator.mediaDevices.getUserMedia(wanted);
    video.hidden = false;
    await video.play();
    camera.textContent = "Take the photograph";
}

try {
    const session = await ort.InferenceSession.create("detector.onnx");
    verdict.textContent = "Ready";
    file.disabled = camera.disabled = false;
    file.addEventListener("change", async () => {
        if (file.files?.[0]) await inspect(session, file.files[0]);
        file.value = "";  // the same file can be chosen again
    });
    camera.addEventListener("click", async () => {
        if (video.srcObject) return inspect(session, video);
        await openCamera().catch(error => { verdict.textContent = `No camera: ${error}`; });
    });
} catch (error) {
    verdict.textContent = `The detector could not be loaded: ${error}`;
}
