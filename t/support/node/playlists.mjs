// What hls.js reads from playlists: node playlists.mjs HLS.MJS < JSON of [{url, text}, …].
// Prints one JSON line a playlist: its kind, its error if it has one, and all URIs, resolved.
import { readFileSync } from 'node:fs';

const { M3U8Parser } = await import(process.argv[2]);

function read({ url, text }) {
  if (M3U8Parser.isMediaPlaylist(text)) {
    const found = M3U8Parser.parseLevelPlaylist(text, url, 0, 'main', 0, null);
    const uris = [];
    for (const fragment of found.fragments) {
      uris.push(fragment.url);
      if (fragment.initSegment) uris.push(fragment.initSegment.url);
      for (const key of Object.values(fragment.levelkeys ?? {})) uris.push(key.uri);
    }
    for (const part of found.partList ?? []) uris.push(part.url);
    for (const report of found.renditionReports ?? []) uris.push(new URL(report.URI, url).href);
    if (found.preloadHint) uris.push(new URL(found.preloadHint.URI, url).href);
    return {
      kind: 'media', error: found.playlistParsingError?.message ?? null, uris,
      sequence: found.startSN, seconds: found.totalduration, fragments: found.fragments.length,
      blocking: found.canBlockReload,
    };
  }
  const found = M3U8Parser.parseMasterPlaylist(text, url);
  const media = M3U8Parser.parseMasterPlaylistMedia(text, url, found);
  const uris = found.levels.map((level) => level.url);
  for (const group of Object.values(media)) {
    for (const row of group ?? []) if (row.url) uris.push(row.url);
  }
  return { kind: 'master', error: found.playlistParsingError?.message ?? null, uris };
}

for (const playlist of JSON.parse(readFileSync(0, 'utf8'))) {
  console.log(JSON.stringify(read(playlist)));
}
