// The page of `eyeshot serve`: a conversation with the model, kept in this browser.
'use strict';

const $ = (id) => document.getElementById(id);
const STAGES = {
  decode_image: 'read', preprocess: 'tiles', encode: 'encode', connect: 'connect', reduce: 'reduce',
  prefill: 'prefill', decode: 'write', detokenize: 'text', wait: 'waiting',
};

const DEFAULT_QUESTION = 'What is this?';

// A conversation is {id, title, time, turns: [{question, media: [{kind, url, name}], answers: [{setting, text, usage,
// error, stopped}]}]}. It goes on from the first answer of each turn.
let conversation = newConversation();
let pending = [];         // media of the next question
let running = new Set();  // AbortControllers of answers under way
let viewfinder = null;    // the camera's MediaStream
let grids = new Map();    // of each canvas, what draws it
let estimating = null;    // the AbortController of the estimate under way
let estimateTimer = 0;

function newConversation() {
  return {id: `${Date.now()}-${Math.random().toString(36).slice(2, 8)}`, title: '', time: Date.now(), turns: []};
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// --- Talking to the server

function headers() {
  const key = sessionStorage.getItem('eyeshot-key');
  return {'Content-Type': 'application/json', ...(key ? {Authorization: `Bearer ${key}`} : {})};
}

async function showModel() {
  try {
    const reply = await fetch('/v1/models', {headers: headers()});
    const json = await reply.json();
    if (!reply.ok) throw new Error(json.error.message);
    const model = json.data[0];
    const own = model.eyeshot || {};
    $('model').textContent = [model.id, own.device, own.precision, `${model.max_model_len} tokens of context`]
      .filter(Boolean).join(' · ');
    $('model').title = $('model').textContent;
  } catch (error) {
    $('model').textContent = `no connection: ${error.message}`;
  }
}

function messagesOf(turns, detail) {
  const messages = [];
  for (const [index, turn] of turns.entries()) {
    const parts = turn.media.map((medium) => medium.kind === 'video'
      ? {type: 'video_url', video_url: {url: medium.url, detail}}
      : {type: 'image_url', image_url: {url: medium.url, detail}});
    messages.push({role: 'user', content: [...parts, {type: 'text', text: turn.question}]});
    const said = turn.answers[0];
    if (index + 1 < turns.length) messages.push({role: 'assistant', content: (said && said.text) || '…'});
  }
  return messages;
}

// Yields the JSON of each server-sent event.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (true) {
    const {done, value} = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf('\n\n')) >= 0) {
      const data = text.slice(0, end).replace(/^data: /, '');
      text = text.slice(end + 2);
      if (data === '[DONE]') return;
      yield JSON.parse(data);
    }
  }
}

// Fills `answer` as the text comes, and calls `changed` each time.
async function ask(turns, answer, changed) {
  const control = new AbortController();
  running.add(control);
  showRunning();
  try {
    const reply = await fetch('/v1/chat/completions', {
      method: 'POST', headers: headers(), signal: control.signal,
      body: JSON.stringify({
        messages: messagesOf(turns, answer.setting.budget ? 'auto' : answer.setting.detail),
        stream: true, stream_options: {include_usage: true},
        temperature: answer.setting.temperature, max_tokens: answer.setting.maxTokens, reduce: answer.setting.reduce || 'none',
        budget: answer.setting.budget || undefined,
      }),
    });
    if (!reply.ok) {
      const json = await reply.json().catch(() => ({error: {message: `status ${reply.status}`}}));
      if (reply.status === 401) $('key-dialog').showModal();
      throw new Error(json.error.message);
    }
    for await (const event of events(reply.body)) {
      if (event.error) throw new Error(event.error.message);
      const piece = event.choices && event.choices[0] && event.choices[0].delta && event.choices[0].delta.content;
      if (piece) {
        answer.firstMs = answer.firstMs || performance.now() - answer.began;
        answer.text += piece;
      }
      if (event.usage) answer.usage = event.usage;
      changed();
    }
  } catch (error) {
    if (error.name === 'AbortError') answer.stopped = true; else answer.error = error.message;
  } finally {
    running.delete(control);
    showRunning();
    answer.busy = false;
    changed();
  }
}

function showRunning() {
  $('send').hidden = running.size > 0;
  $('stop').hidden = running.size === 0;
}

function settings() {
  const common = {
    temperature: Math.max(0, Number($('temperature').value) || 0),
    maxTokens: Math.max(1, Math.round(Number($('max-tokens').value)) || 256),
  };
  const chosen = [{detail: $('detail').value, reduce: $('reduce').value, budget: $('budget').value.trim(), ...common}];
  if ($('compare').checked) chosen.push({detail: $('detail-b').value, reduce: $('reduce-b').value, ...common});
  return chosen;
}

// A budget chooses the detail.
const settingText = ({detail, reduce, budget}) => (budget ? `budget ${budget}` : `detail ${detail}`) +
  (reduce && reduce !== 'none' ? `, ${reduce}` : '');

// --- What the next question will take

// Tokens of the conversation so far, as its last answer counted them.
function earlierTokens() {
  const last = conversation.turns.at(-1);
  const usage = last && last.answers[0] && last.answers[0].usage;
  return usage ? usage.total_tokens : 0;
}

// The sizes of pictures and lengths of videos that go with the question.
async function sizesOf(views) {
  const sizes = {pictures: [], videos: []};
  for (const view of views) {
    if (view.tagName === 'VIDEO') {
      if (view.readyState < view.HAVE_METADATA) {
        await new Promise((resolve, reject) => { view.onloadedmetadata = resolve; view.onerror = reject; });
      }
      sizes.videos.push({duration_s: view.duration, width: view.videoWidth, height: view.videoHeight});
    } else {
      await view.decode();
      sizes.pictures.push({width: view.naturalWidth, height: view.naturalHeight});
    }
  }
  return sizes;
}

async function fetchEstimate(setting, sizes, signal) {
  const reply = await fetch('/v1/estimate', {
    method: 'POST', headers: headers(), signal,
    body: JSON.stringify({
      ...sizes, text: $('question').value.trim() || DEFAULT_QUESTION, detail: setting.budget ? undefined : setting.detail,
      reduce: setting.reduce, budget: setting.budget || undefined, max_tokens: setting.maxTokens, earlier_tokens: earlierTokens(),
    }),
  });
  const json = await reply.json();
  if (!reply.ok) throw new Error(json.error.message);
  return json;
}

function estimateLine(setting, estimate, several) {
  const count = (number, what) => `${number} ${what}${number === 1 ? '' : 's'}`;
  const parts = [count(estimate.visual_tokens, 'visual token'), count(estimate.tiles, 'tile')];
  const predicted = estimate.predicted;
  if (predicted) parts.push(`≈ ${about(predicted.first_token_ms)} to the first word predicted`);
  const left = estimate.context_tokens - estimate.prompt_tokens;
  const line = element('li', {}, several ? `${settingText(setting)}: ` : '', element('strong', {}, parts.join(', ')),
    `; ${estimate.prompt_tokens} tokens of prompt, ${left} of ${estimate.context_tokens} left`);
  if (estimate.pictures.some((picture) => picture.shrunk)) line.append('; made smaller to fit');
  if (estimate.budget) line.append(`; ${estimate.budget.why}`);
  line.title = predicted
    ? [...predicted.stages.map((stage) => `${STAGES[stage.name] || stage.name} ${about(stage.wall_ms)}`),
      `then ${about(predicted.token_ms)} a token`, predicted.from, ...predicted.doubts].join('; ')
    : `No time is predicted: ${estimate.not_predicted}`;
  return line;
}

async function showEstimate() {
  if (estimating) estimating.abort();
  const views = [...$('media').querySelectorAll('img, video')];
  const box = $('estimate');
  if (pending.length === 0) {
    box.hidden = true;
    return;
  }
  const control = estimating = new AbortController();
  try {
    const sizes = await sizesOf(views);
    if (control.signal.aborted) return;
    const chosen = settings();
    const lines = await Promise.all(chosen.map((setting) => fetchEstimate(setting, sizes, control.signal)
      .then((estimate) => estimateLine(setting, estimate, chosen.length > 1))
      .catch((error) => {
        if (error.name === 'AbortError') throw error;
        return element('li', {className: 'error', textContent: error.message});
      })));
    if (control.signal.aborted) return;
    box.replaceChildren(...lines);
    box.hidden = false;
  } catch {
    if (!control.signal.aborted) box.hidden = true;  // a picture or video that this browser can't show
  }
}

// After the last of several changes.
function estimateSoon() {
  clearTimeout(estimateTimer);
  estimateTimer = setTimeout(showEstimate, 150);
}

async function send() {
  const question = $('question').value.trim();
  if (running.size > 0 || (!question && pending.length === 0)) return;
  const turn = {question: question || DEFAULT_QUESTION, media: pending, answers: []};
  for (const setting of settings()) {
    turn.answers.push({setting, text: '', usage: null, busy: true, began: performance.now()});
  }
  conversation.turns.push(turn);
  conversation.title = conversation.title || turn.question;
  conversation.time = Date.now();
  pending = [];
  $('question').value = '';
  fitQuestion();
  showPending();
  const shown = addTurn(turn);
  const turns = conversation.turns;
  const from = conversation;
  await Promise.all(turn.answers.map((answer, index) => ask(turns, answer, () => {
    showAnswer(shown.answers[index], answer);
    drawGrids(shown, turn);
  })));
  await save(from);
}

// --- Showing turns

function addTurn(turn) {
  $('welcome').hidden = true;
  const shown = {figures: [], answers: []};
  const media = element('div', {className: 'shown'});
  for (const medium of turn.media) {
    const view = medium.kind === 'video'
      ? element('video', {src: medium.url, controls: true, muted: true})
      : element('img', {src: medium.url, alt: medium.name || 'picture of the question'});
    const canvas = element('canvas', {hidden: medium.kind === 'video'});
    const caption = element('figcaption');
    const frame = element('figure', {}, element('div', {className: 'frame'}, view, canvas), caption);
    media.append(frame);
    shown.figures.push({view, canvas, caption});
  }
  const question = element('div', {className: 'question'}, media, element('p', {}, turn.question));
  const answers = element('div', {className: 'answers'});
  for (const answer of turn.answers) {
    const parts = {
      box: element('article', {className: 'answer', 'aria-label': 'Answer'}),
      setting: element('p', {className: 'setting'}), text: element('p', {className: 'text'}),
      error: element('p', {className: 'error', hidden: true}), bar: element('div', {className: 'bar', hidden: true}),
      legend: element('ul', {className: 'legend'}), sum: element('p', {className: 'sum'}),
    };
    parts.setting.hidden = turn.answers.length < 2;
    parts.setting.textContent = settingText(answer.setting);
    parts.box.append(parts.setting, parts.text, parts.error, parts.bar, parts.legend, parts.sum);
    answers.append(parts.box);
    shown.answers.push(parts);
    showAnswer(parts, answer);
  }
  const item = element('li', {}, question, answers);
  $('turns').append(item);
  item.scrollIntoView({block: 'end'});
  drawGrids(shown, turn);
  return shown;
}

function showAnswer(parts, answer) {
  const talk = $('talk');
  const follows = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
  parts.box.classList.toggle('busy', Boolean(answer.busy));
  parts.text.textContent = answer.text;
  parts.error.hidden = !answer.error && !answer.stopped;
  parts.error.textContent = answer.error || (answer.stopped ? 'stopped' : '');
  showStages(parts, answer);
  if (follows) talk.scrollTop = talk.scrollHeight;
}

const ms = (value) => value >= 10000 ? `${(value / 1000).toFixed(1)} s` : value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
// Two digits: a prediction has no more.
const about = (value) => value >= 1000 ? `${Number((value / 1000).toPrecision(2))} s` : `${Number(value.toPrecision(2))} ms`;
const joulesText = (joules) => `${joules.value < 10 ? joules.value.toPrecision(2) : joules.value.toFixed(0)} J`;

// What is known while the answer comes: how long the first word took, and the rest.
function liveStages(answer) {
  const now = performance.now() - answer.began;
  const first = answer.firstMs || now;
  return [{name: 'prefill', wall_ms: first, tokens: 0}, {name: 'decode', wall_ms: now - first, tokens: 0}];
}

function showStages(parts, answer) {
  if (!answer.usage && !answer.busy) {
    parts.bar.hidden = true;
    return;
  }
  const own = answer.usage && answer.usage.eyeshot;
  let stages = own ? own.stages.filter((stage) => stage.wall_ms > 0) : liveStages(answer);
  const known = stages.reduce((sum, stage) => sum + stage.wall_ms, 0);
  if (own && own.total_ms > known) stages = [{name: 'wait', wall_ms: own.total_ms - known, tokens: 0}, ...stages];
  const total = stages.reduce((sum, stage) => sum + stage.wall_ms, 0) || 1;
  parts.bar.hidden = false;
  parts.bar.replaceChildren(...stages.map((stage) => {
    const piece = element('span', {className: `s-${stage.name}`, title: `${STAGES[stage.name] || stage.name}: ${ms(stage.wall_ms)}`});
    piece.style.width = `${100 * stage.wall_ms / total}%`;
    return piece;
  }));
  parts.bar.setAttribute('role', 'img');
  parts.bar.setAttribute('aria-label', stages.map((stage) => `${STAGES[stage.name] || stage.name} ${ms(stage.wall_ms)}`).join(', '));
  if (!own) return;
  parts.legend.replaceChildren(...stages.filter((stage) => stage.wall_ms >= total / 200).map((stage) => {
    const swatch = element('i', {className: `s-${stage.name}`});
    const more = [ms(stage.wall_ms)];
    if (stage.tokens) more.push(`${stage.tokens} tokens`);
    if (stage.joules && stage.joules.value !== null) more.push(joulesText(stage.joules));
    return element('li', {}, swatch, `${STAGES[stage.name] || stage.name} ${more.join(', ')}`);
  }));
  const usage = answer.usage;
  const cached = usage.prompt_tokens_details.cached_tokens;
  const energy = own.joules.value !== null
    ? `${joulesText(own.joules)} (${own.joules.source === 'model' ? 'estimated' : own.joules.source})` : 'energy not measured';
  parts.sum.textContent = `${usage.prompt_tokens} prompt tokens (${own.visual_tokens} visual${cached ? `, ${cached} cached` : ''}), ` +
    `${usage.completion_tokens} written; first after ${ms(own.first_token_ms)}, all in ${ms(own.total_ms)}; ${energy}` + (own.budget ? `; budget: ${own.budget.why}` : '');
}

// The tiles over each picture, as the first answer's usage has them. Pictures of this question are the last ones.
function drawGrids(shown, turn) {
  const usage = turn.answers.map((answer) => answer.usage && answer.usage.eyeshot).find(Boolean);
  if (!usage) return;
  const costs = usage.pictures.slice(-shown.figures.length);
  shown.figures.forEach((figure, index) => {
    const cost = costs[index];
    if (!cost) return;
    const tiles = cost.frames ? `${cost.frames} frames` : cost.rows ? `${cost.cols} × ${cost.rows} tiles and the whole` : 'one view';
    figure.caption.textContent = `${cost.width} × ${cost.height}, ${tiles}, ${cost.visual_tokens} visual tokens` +
      (cost.reduction ? ` (${cost.reduction})` : '') + (cost.shrunk ? ', made smaller to fit' : '');
    if (!cost.frames) drawGrid(figure.canvas, figure.view, cost.rows, cost.cols);
  });
}

function drawGrid(canvas, view, rows, cols) {
  const draw = () => {
    const scale = window.devicePixelRatio || 1;
    canvas.width = view.clientWidth * scale;
    canvas.height = view.clientHeight * scale;
    const pen = canvas.getContext('2d');
    for (const [color, width] of [['#000a', 4], [getComputedStyle(document.documentElement).getPropertyValue('--grid'), 1.5]]) {
      pen.strokeStyle = color;
      pen.lineWidth = width * scale;
      pen.beginPath();
      for (let col = 1; col < cols; ++col) {
        pen.moveTo(canvas.width * col / cols, 0);
        pen.lineTo(canvas.width * col / cols, canvas.height);
      }
      for (let row = 1; row < rows; ++row) {
        pen.moveTo(0, canvas.height * row / rows);
        pen.lineTo(canvas.width, canvas.height * row / rows);
      }
      pen.stroke();
    }
  };
  grids.set(canvas, draw);
  if (view.complete) draw(); else view.addEventListener('load', draw, {once: true});
}

function showConversation() {
  $('turns').replaceChildren();
  grids.clear();
  $('welcome').hidden = conversation.turns.length > 0;
  conversation.turns.forEach(addTurn);
}

// --- Pictures and videos of the next question

function readAsUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

async function addFiles(files) {
  for (const file of files) {
    if (!/^(image|video)\//.test(file.type)) continue;
    pending.push({kind: file.type.startsWith('video/') ? 'video' : 'image', url: await readAsUrl(file), name: file.name || ''});
  }
  showPending();
  $('question').focus();
}

function showPending() {
  $('media').replaceChildren(...pending.map((medium, index) => {
    const view = medium.kind === 'video' ? element('video', {src: medium.url, muted: true})
      : element('img', {src: medium.url, alt: medium.name || 'picture'});
    const remove = element('button', {type: 'button', textContent: '×', title: 'Remove'});
    remove.setAttribute('aria-label', `Remove ${medium.name || 'picture'}`);
    remove.onclick = () => { pending.splice(index, 1); showPending(); };
    return element('li', {}, view, remove);
  }));
  estimateSoon();
}

async function openCamera() {
  try {
    viewfinder = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'environment', width: {ideal: 1920}}});
    $('viewfinder').srcObject = viewfinder;
    $('camera').showModal();
    await $('viewfinder').play();
  } catch (error) {
    $('model').textContent = `no camera: ${error.message}`;
  }
}

function closeCamera() {
  if (viewfinder) viewfinder.getTracks().forEach((track) => track.stop());
  viewfinder = null;
  $('camera').close();
}

function shoot() {
  const video = $('viewfinder');
  const canvas = element('canvas', {width: video.videoWidth, height: video.videoHeight});
  canvas.getContext('2d').drawImage(video, 0, 0);
  canvas.toBlob((blob) => { closeCamera(); addFiles([new File([blob], 'camera.jpg', {type: 'image/jpeg'})]); }, 'image/jpeg', 0.92);
}

// --- History, in this browser's database

// The index has what the list of conversations shows, so that their pictures stay where they are.
function database() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('eyeshot', 2);
    request.onupgradeneeded = ({oldVersion}) => {
      const store = oldVersion === 0 ? request.result.createObjectStore('conversations', {keyPath: 'id'})
        : request.transaction.objectStore('conversations');
      store.createIndex('titles', ['time', 'title']);
    };
    request.onblocked = () => reject(new Error('another tab has an older page'));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// The result of the request that `action` makes, once all is done that it began.
async function stored(mode, action) {
  try {
    const opened = await database();
    return await new Promise((resolve, reject) => {
      const transaction = opened.transaction('conversations', mode);
      const request = action(transaction.objectStore('conversations'));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    }).finally(() => opened.close());
  } catch {
    return null;  // private windows may have none: the page works without
  }
}

async function save(what) {
  await stored('readwrite', (store) => store.put(what));
  await showHistory();
}

async function recall(id) {
  const found = await stored('readonly', (store) => store.get(id));
  if (!found) return;
  conversation = found;
  showConversation();
  toggleHistory(false);
}

async function showHistory() {
  const all = [];  // the newest first
  await stored('readonly', (store) => {
    const request = store.index('titles').openKeyCursor(null, 'prev');
    request.onsuccess = () => {
      const at = request.result;
      if (!at) return;
      all.push({id: at.primaryKey, time: at.key[0], title: at.key[1]});
      at.continue();
    };
    return request;
  });
  $('history-list').replaceChildren(...all.map((one) => {
    const button = element('button', {type: 'button', textContent: one.title, title: new Date(one.time).toLocaleString()});
    button.onclick = () => recall(one.id);
    return element('li', {}, button);
  }));
  $('forget-button').hidden = all.length === 0;
}

function toggleHistory(open) {
  $('history').hidden = !open;
  $('history-button').setAttribute('aria-expanded', String(open));
}

// --- Events

function fitQuestion() {
  const box = $('question');
  box.style.height = 'auto';
  box.style.height = `${box.scrollHeight + 2}px`;
}

$('ask').addEventListener('submit', (event) => { event.preventDefault(); send(); });
$('question').addEventListener('input', () => { fitQuestion(); estimateSoon(); });
$('question').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') running.forEach((control) => control.abort());
});
$('stop').onclick = () => running.forEach((control) => control.abort());
$('file').onchange = (event) => { addFiles([...event.target.files]); event.target.value = ''; };
document.addEventListener('paste', (event) => {
  if (event.clipboardData.files.length) { event.preventDefault(); addFiles([...event.clipboardData.files]); }
});
document.addEventListener('dragover', (event) => { event.preventDefault(); $('drop').hidden = false; });
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('drop').hidden = true; });
document.addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop').hidden = true;
  addFiles([...event.dataTransfer.files]);
});
$('camera-button').onclick = openCamera;
$('camera-close').onclick = closeCamera;
$('camera').addEventListener('cancel', closeCamera);
$('shoot').onclick = shoot;
$('compare').onchange = () => {
  document.querySelectorAll('.compared').forEach((label) => { label.hidden = !$('compare').checked; });
};
$('settings').addEventListener('change', estimateSoon);
$('history-button').onclick = () => toggleHistory($('history').hidden);
$('new-button').onclick = () => {
  conversation = newConversation();
  showConversation();
  estimateSoon();
  $('question').focus();
};
$('forget-button').onclick = async () => {
  if (!confirm('Forget all conversations of this browser?')) return;
  await stored('readwrite', (store) => store.clear());
  await showHistory();
};
$('key-button').onclick = () => $('key-dialog').showModal();
$('key-dialog').addEventListener('close', () => {
  if ($('key-dialog').returnValue === 'ok') {
    sessionStorage.setItem('eyeshot-key', $('key').value.trim());
    showModel();
  }
});
window.addEventListener('resize', () => grids.forEach((draw) => draw()));
setInterval(() => { if (running.size === 0 && !document.hidden && $('model').textContent.startsWith('no ')) showModel(); }, 5000);

$('reduce-b').append(...$('reduce').cloneNode(true).childNodes);
showModel();
showHistory();
$('question').focus();
